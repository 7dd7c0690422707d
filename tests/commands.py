"""The command `academy` in the process of a test."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import typer.main
import typer.testing

from academy.cli.app import app

# It makes the command from the functions whenever it is asked, which takes a tenth of a second.
typer.testing._get_command = cache(typer.testing._get_command)


def every_command(*, hidden: bool = True) -> Iterator[tuple[str, Any]]:
    """Every command and group by its words; `hidden` ones are second names of others."""
    yield from _below(typer.main.get_command(app), (), hidden)


def can_run(command: Any) -> bool:
    """Whether it is a command, and not a group that only holds some."""
    return not getattr(command, "commands", {}) or bool(command.invoke_without_command)


def _below(command: Any, words: tuple[str, ...], hidden: bool) -> Iterator[tuple[str, Any]]:
    for name, each in getattr(command, "commands", {}).items():
        if hidden or not each.hidden:
            yield " ".join((*words, name)), each
            yield from _below(each, (*words, name), hidden)


def invoke(*words: str) -> typer.testing.Result:
    """What the command says; an error that it raises is in the result."""
    return typer.testing.CliRunner().invoke(app, list(words))
