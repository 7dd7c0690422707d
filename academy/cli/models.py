"""`academy activate`, `rollback` and `chat`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from academy.client import Client

Alias = Annotated[str, typer.Option(help="The name that clients ask for.")]


def activate(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="An adapter's id.")],
    alias: Alias = "default",
) -> None:
    """Let an alias point at an adapter, without a restart."""
    from academy.cli.output import connect

    with connect() as client:
        # Loading and probing an adapter on a busy CPU takes a while.
        answer = client.post(
            "/adapters/activate", {"adapter_id": adapter, "alias": alias}, timeout_seconds=120
        )
    typer.echo(answer["message"])


def rollback(alias: Alias = "default") -> None:
    """Let an alias point at the base model again."""
    from academy.cli.output import connect

    with connect() as client:
        answer = client.post("/adapters/deactivate", {"alias": alias}, timeout_seconds=120)
    typer.echo(answer["message"])


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
) -> None:
    """Talk to a model; without a question read one a line until the end of input."""
    from academy.cli.output import connect

    messages = [{"role": "system", "content": system}] if system else []
    options = {"max_tokens": max_tokens, "temperature": temperature}
    with connect() as client:
        if question is not None:
            _answer(client, model, [*messages, {"role": "user", "content": question}], options)
            return
        while line := _next_line():
            messages.append({"role": "user", "content": line})
            said = _answer(client, model, messages, options)
            messages.append({"role": "assistant", "content": said})


def _answer(
    client: Client, model: str, messages: list[dict[str, str]], options: dict[str, Any]
) -> str:
    pieces = []
    for piece in client.chat(model, messages, **options):
        pieces.append(piece)
        typer.echo(piece, nl=False)
        sys.stdout.flush()
    typer.echo()
    return "".join(pieces)


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
