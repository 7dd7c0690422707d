"""The command `academy` in the process of a test."""

from __future__ import annotations

from functools import cache

import typer.testing

from academy.cli.app import app

# It makes the command from the functions whenever it is asked, which takes a tenth of a second.
typer.testing._get_command = cache(typer.testing._get_command)


def invoke(*words: str) -> typer.testing.Result:
    """What the command says; an error that it raises is in the result."""
    return typer.testing.CliRunner().invoke(app, list(words))
