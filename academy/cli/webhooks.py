"""`academy webhooks …`: servers of others that are told what changes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from academy.cli.arguments import AsJson

webhooks = typer.Typer(help="Tell servers of others what changes, and see what arrived there.")

Webhook = Annotated[str, typer.Argument(metavar="ID", help="A webhook's id.")]
Types = Annotated[
    list[str] | None,
    typer.Option("--event", metavar="TYPE", help="Such as job.failed or 'job.*'; repeatable."),
]


@webhooks.command("add")
def add_webhook(
    url: Annotated[str, typer.Argument(help="An https address.")],
    event: Types = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    enabled: Annotated[
        bool, typer.Option("--enabled/--disabled", help="Whether it is told anything.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Tell a server what changes from now on. The secret is shown this once."""
    from academy.cli.output import connect

    body: dict[str, Any] = {"url": url, "description": description, "enabled": enabled}
    if event:
        body["event_types"] = event
    with connect() as client:
        answer = client.post("/webhooks", body)
    _print_secret(answer, as_json)


@webhooks.command("list")
def list_webhooks(as_json: AsJson = False) -> None:
    """List the webhooks and what they are told."""
    from academy.cli.output import connect, print_json, print_table, short_time

    with connect() as client:
        answer = client.get("/webhooks")
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["id"],
            each["url"],
            ", ".join(each["event_types"]),
            _standing(each),
            short_time(each["last_delivered_at"]),
            each["description"],
        )
        for each in answer["webhooks"]
    ]
    columns = ("id", "url", "events", "", "last delivered", "description")
    print_table(columns, rows, "There are no webhooks.", prose=columns[2:])


@webhooks.command("set")
def set_webhook(
    webhook_id: Webhook,
    url: Annotated[str | None, typer.Option(help="A new address.")] = None,
    event: Types = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable")] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given, keep the rest."""
    from academy.cli.output import connect, print_json

    body = {"url": url, "event_types": event, "description": description, "enabled": enabled}
    given = {name: value for name, value in body.items() if value is not None}
    with connect() as client:
        answer = client.request("PATCH", _path(webhook_id), body=given).json()
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{answer['id']}: {answer['url']}, {_standing(answer) or 'enabled'}")


@webhooks.command("remove")
def remove_webhook(webhook_id: Webhook, as_json: AsJson = False) -> None:
    """Delete a webhook with its deliveries."""
    from academy.cli.output import connect, print_message

    with connect() as client:
        answer = client.request("DELETE", _path(webhook_id)).json()
    print_message(answer, as_json)


@webhooks.command("rotate")
def rotate_secret(
    webhook_id: Webhook,
    grace_seconds: Annotated[
        float, typer.Option(help="Time for which the old secret signs as well.")
    ] = 86_400.0,
    as_json: AsJson = False,
) -> None:
    """Give a webhook another secret, shown this once."""
    from academy.cli.output import connect

    with connect() as client:
        answer = client.post(f"{_path(webhook_id)}/rotate", {"grace_seconds": grace_seconds})
    _print_secret(answer, as_json)


@webhooks.command("test")
def test_webhook(webhook_id: Webhook, as_json: AsJson = False) -> None:
    """Send a webhook.test; `academy webhooks deliveries` tells what came of it."""
    from academy.cli.output import connect

    with connect() as client:
        answer = client.post(f"{_path(webhook_id)}/test", None)
    _print_delivery(answer, as_json)


@webhooks.command("deliveries")
def list_deliveries(
    webhook_id: Webhook,
    state: Annotated[
        str | None, typer.Option(help="Only 'pending', 'delivered' or 'given_up'.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at most, 1 to 500.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List what was delivered to a webhook, newest first."""
    from academy.cli.output import connect, print_json, print_table, short_time

    with connect() as client:
        answer = client.get(f"{_path(webhook_id)}/deliveries", state=state, limit=limit)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["id"],
            each["type"],
            each["subject"],
            each["state"],
            each["attempts"],
            short_time(each["timestamp"]),
            each["last_error"] or "",
        )
        for each in answer["deliveries"]
    ]
    columns = ("id", "event", "of", "state", "attempts", "happened", "last error")
    print_table(columns, rows, "There are no deliveries.", prose={"happened", "last error"})


@webhooks.command("repeat")
def repeat_delivery(
    webhook_id: Webhook,
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY", help="A delivery's id.")],
    as_json: AsJson = False,
) -> None:
    """Deliver the same event once more, behind what waits."""
    from academy.cli.output import connect
    from academy.wire.sending import quoted

    path = f"{_path(webhook_id)}/deliveries/{quoted('delivery', delivery_id)}/repeat"
    with connect() as client:
        answer = client.post(path, None)
    _print_delivery(answer, as_json)


def _path(webhook_id: str) -> str:
    from academy.wire.sending import quoted

    return f"/webhooks/{quoted('webhook', webhook_id)}"


def _standing(webhook: dict[str, Any]) -> str:
    if not webhook["enabled"]:
        gone = webhook["disabled_reason"] == "gone"
        return "disabled: its server is gone" if gone else "disabled"
    return "nobody answers" if webhook["silent"] else ""


def _print_secret(answer: dict[str, Any], as_json: bool) -> None:
    from academy.cli.output import print_json

    if as_json:
        print_json(answer)
        return
    typer.echo(answer["id"])
    typer.echo(answer["secret"])


def _print_delivery(answer: dict[str, Any], as_json: bool) -> None:
    from academy.cli.output import print_json

    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{answer['id']}: {answer['type']} is being sent")
