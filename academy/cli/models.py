"""`academy activate`, `rollback` and `chat`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from academy.cli.arguments import AsJson

if TYPE_CHECKING:
    from academy.client import Client

Alias = Annotated[str, typer.Option(help="The name that clients ask for.")]


def activate(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="An adapter's id.")],
    alias: Alias = "default",
    as_json: AsJson = False,
) -> None:
    """Let an alias point at an adapter, without a restart."""
    from academy.cli.output import connect, print_message

    with connect() as client:
        # Loading and probing an adapter on a busy CPU takes a while.
        answer = client.post(
            "/adapters/activate", {"adapter_id": adapter, "alias": alias}, timeout_seconds=120
        )
    print_message(answer, as_json)


def rollback(alias: Alias = "default", as_json: AsJson = False) -> None:
    """Let an alias point at the base model again."""
    from academy.cli.output import connect, print_message

    with connect() as client:
        answer = client.post("/adapters/deactivate", {"alias": alias}, timeout_seconds=120)
    print_message(answer, as_json)


def chat(
    question: Annotated[str | None, typer.Argument(help="One question; empty: a dialogue.")] = None,
    model: Annotated[
        str, typer.Option(help="An alias, a base model or an adapter's id.")
    ] = "default",
    system: Annotated[str | None, typer.Option(help="An instruction that comes first.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer in tokens.")] = 512,
    temperature: Annotated[
        float,
        typer.Option(
            min=0, max=2, help="0 is always the likeliest word; small models ramble at 1."
        ),
    ] = 0.2,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print each answer as one JSON object a line.")
    ] = False,
) -> None:
    """Talk to a model; without a question read one a line until the end of input."""
    from academy.cli.output import connect

    messages = [{"role": "system", "content": system}] if system else []
    options = {"max_tokens": max_tokens, "temperature": temperature}
    with connect() as client:
        if question is not None:
            messages.append({"role": "user", "content": question})
            _answer(client, model, messages, options, as_json)
            return
        while line := _next_line():
            messages.append({"role": "user", "content": line})
            said = _answer(client, model, messages, options, as_json)
            messages.append({"role": "assistant", "content": said})


def _answer(
    client: Client,
    model: str,
    messages: list[dict[str, str]],
    options: dict[str, Any],
    as_json: bool,
) -> str:
    from academy.cli.output import print_line

    pieces = []
    for piece in client.chat(model, messages, **options):
        pieces.append(piece)
        if not as_json:
            typer.echo(piece, nl=False)
            sys.stdout.flush()
    said = "".join(pieces)
    if as_json:
        print_line({"model": model, "role": "assistant", "content": said})
    else:
        typer.echo()
    return said


def _next_line() -> str:
    """The next line that is not empty; empty at the end of input. Raises `Unsendable`."""
    from academy.wire.sending import Unsendable

    while True:
        typer.echo("> ", nl=False, err=True)
        try:
            line = sys.stdin.readline()
        except UnicodeDecodeError:
            raise Unsendable(what="The line", why="it is not valid UTF-8") from None
        if not line or line.strip():
            return line.rstrip()  # what it begins with may be code
