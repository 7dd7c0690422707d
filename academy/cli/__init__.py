"""The command `academy`. Each command imports what it needs, so that help answers at once."""

from __future__ import annotations


def main() -> None:
    """Run the command line; the entry point of the console script."""
    from academy.cli.app import main as run

    run()
