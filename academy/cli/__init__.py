"""The command `academy`, a client of the API. It can do nothing that other clients cannot.

Each command imports what it needs, so that help answers at once.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line; the entry point of the console script."""
    from academy.cli.app import main as run

    run()
