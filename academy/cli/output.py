"""How answers are printed: tables for people, JSON for programs, and fields from options."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import typer

from academy.cli.times import local_time
from academy.cli.values import GivenTwice, read_pairs
from academy.client import Client
from academy.embedded.home import client_of
from academy.settings import Settings


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
    """The answer as it came, indented: the one document on standard output."""
    typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))


def print_line(answer: Any) -> None:
    """The answer as one line of NDJSON, at once: for what goes on."""
    typer.echo(json.dumps(answer, ensure_ascii=False))


def print_message(answer: dict[str, Any], as_json: bool) -> None:
    """What the server says in its `message`, or its whole answer as JSON."""
    if as_json:
        print_json(answer)
    else:
        typer.echo(answer["message"])


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    empty: str,
    prose: Collection[str] = (),
) -> None:
    """A table of plain texts, or the sentence `empty` if there are no rows.

    Every column is kept whole, as ids, names and paths are there to be copied, but those named in
    `prose`, which may be broken between words. In a pipe each row is one line.
    """
    from academy.cli.tables import laid_out

    found = list(rows)
    if not found:
        typer.echo(empty)
        return
    for line in laid_out(columns, found, terminal_width(), prose, _heading):
        typer.echo(line)


def terminal_width() -> int | None:
    """The cells of a line of the terminal; None where the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def short_time(text: str | None) -> str:
    """An ISO 8601 time to the minute, local and with its zone; empty for none."""
    return local_time(text)


def _heading(title: str, piece: str) -> str:
    return piece if title else typer.style(piece, bold=True)
