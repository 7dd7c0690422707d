"""`academy keys …`: who may use this installation."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from academy.cli.arguments import AsJson

keys = typer.Typer(help="Make, list and revoke API keys.")


class Role(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


def ticket(as_json: AsJson = False) -> None:
    """Print a link to the dashboard; it works once, within a minute."""
    from academy.cli.output import connect, print_json

    with connect() as client:
        link = f"{client.url}/academy?ticket={client.ticket()}"
    if as_json:
        print_json({"dashboard": link})
    else:
        typer.echo(link)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    role: Annotated[Role, typer.Option(help="What it may do.")] = Role.VIEWER,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown this once and stored only as a hash."""
    from academy.cli.output import connect, print_json

    with connect() as client:
        answer = client.post("/keys", {"name": name, "role": role.value})
    if as_json:
        print_json(answer)
    else:
        typer.echo(answer["key"])


@keys.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List keys by name and role; the keys themselves are not stored."""
    from academy.cli.output import connect, print_json, print_table, short_time

    with connect() as client:
        answer = client.get("/keys")
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["id"],
            each["name"],
            each["role"],
            short_time(each.get("created_at")),
            "revoked" if each.get("revoked_at") else "",
        )
        for each in answer["keys"]
    ]
    print_table(("id", "name", "role", "made", ""), rows, "There are no keys.", prose={"made"})


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="A key's id.")],
    as_json: AsJson = False,
) -> None:
    """Revoke a key at once."""
    from academy.cli.output import connect, print_json
    from academy.wire.sending import quoted

    with connect() as client:
        answer = client.request("DELETE", f"/keys/{quoted('key', key_id)}").json()
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{key_id} is revoked.")
