"""How answers are printed: tables for people, JSON for programs, and fields from options."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from academy.cli.values import GivenTwice, read_pairs
from academy.client import Client
from academy.embedded.home import client_of
from academy.settings import Settings

#: Programs that read a table want a row on one line.
_PIPE_WIDTH = 400


def connect() -> Client:
    """The client for the running home, or for ACADEMY_URL and ACADEMY_API_KEY."""
    return client_of(Settings.from_env())


def request_body(more: Sequence[str] | None, **given: Any) -> dict[str, Any]:
    """The request's fields: the options that were given, and those of ``--set``.

    A value is read as JSON where it is JSON (numbers, true, lists), else it is text. Raises what
    `read_pairs` raises, and `GivenTwice` for a field that an option gives too.
    """
    body = {name: value for name, value in given.items() if value is not None}
    pairs = read_pairs(more or [])
    for name in pairs:
        if name in body:
            raise GivenTwice(name=name)
    return body | pairs


def print_json(answer: Any) -> None:
    """The answer as it came, indented."""
    typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str) -> None:
    """A table of plain texts, or the sentence `empty` if there are no rows.

    Only the last column is broken into lines: ids in the others are there to be copied.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        is_last = index == len(columns) - 1
        table.add_column(column, overflow="fold", no_wrap=not is_last)
    for row in rows:
        table.add_row(*("" if each is None else escape(str(each)) for each in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    if table.row_count:
        console.print(table)
    else:
        typer.echo(empty)


def short_time(text: str | None) -> str:
    """An ISO 8601 time to the second, without its zone (all times are UTC)."""
    return (text or "")[:19].replace("T", " ")
