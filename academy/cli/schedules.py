"""`academy schedules …`: jobs that are submitted by the clock."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from academy.cli.arguments import AsJson, More

schedules = typer.Typer(help="Submit curations and trainings by the clock.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
Enabled = Annotated[bool, typer.Option("--enabled/--disabled", help="Whether it submits jobs.")]

#: What the server shows of a schedule and takes back in a PUT.
_SENT = (
    "kind",
    "request",
    "every",
    "cron",
    "time_zone",
    "missed",
    "grace_seconds",
    "overlap",
    "only_if_new",
    "enabled",
)


@schedules.command("add")
def add_schedule(
    name: Name,
    kind: Annotated[str, typer.Argument(help="A kind of job, as `academy kinds` shows.")],
    every: Annotated[str | None, typer.Option(help="Interval, such as 90s, 6h or 1d.")] = None,
    cron: Annotated[str | None, typer.Option(help="Such as '30 2 * * 1-5'.")] = None,
    time_zone: Annotated[str, typer.Option(help="IANA zone that --cron follows.")] = "UTC",
    missed: Annotated[
        str, typer.Option(help="After an absence of all keepers: 'once' or 'skip'.")
    ] = "once",
    overlap: Annotated[
        str, typer.Option(help="While the last job is not over: 'allow' or 'skip'.")
    ] = "allow",
    only_if_new: Annotated[
        bool, typer.Option("--only-if-new", help="Train only on what was not trained on yet.")
    ] = False,
    more: More = None,
    enabled: Enabled = True,
    as_json: AsJson = False,
) -> None:
    """Keep a schedule; --set gives the fields of the request that it will submit."""
    from academy.cli.output import connect, print_json, request_body

    body = {
        "name": name,
        "kind": kind,
        "request": request_body(more),
        "cron": cron,
        "every": _seconds_or_text(every),
        "time_zone": time_zone,
        "missed": missed,
        "overlap": overlap,
        "only_if_new": only_if_new,
        "enabled": enabled,
    }
    with connect() as client:
        answer = client.post("/schedules", body)
    if as_json:
        print_json(answer)
    else:
        typer.echo(_next(answer))


@schedules.command("list")
def list_schedules(as_json: AsJson = False) -> None:
    """List the schedules with their next times and what came of the latest ones."""
    from academy.cli.output import connect, print_json, print_table, short_time

    with connect() as client:
        answer = client.get("/schedules", limit=500)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["name"],
            each["kind"],
            _when(each),
            short_time(each["next_at"]) or "disabled",
            short_time(each["last_at"]),
            _outcome(each),
        )
        for each in answer["schedules"]
    ]
    columns = ("name", "kind", "when", "next", "last", "came of it")
    print_table(columns, rows, "There are no schedules.", prose=columns[2:])


@schedules.command("show")
def show_schedule(name: Name, as_json: AsJson = False) -> None:
    """Show a schedule: when it submits what, and what came of it."""
    from academy.cli.output import connect, print_json, print_table, short_time
    from academy.wire.sending import quoted

    with connect() as client:
        answer = client.get(f"/schedules/{quoted('schedule', name)}")
    if as_json:
        print_json(answer)
        return
    shown = {"every", "cron", "time_zone", "request", "last_outcome", "last_job_id"}
    rows: list[tuple[str, Any]] = [("name", answer["name"]), ("when", _when(answer))]
    for field, value in answer.items():
        if field in shown or field == "name" or value is None or isinstance(value, dict):
            continue
        text = short_time(value) if field.endswith("_at") else value
        rows.append((field.replace("_", " "), text))
    rows += [(f"request: {field}", value) for field, value in answer["request"].items()]
    rows.append(("came of it", _outcome(answer)))
    print_table(("what", "value"), rows, "There is nothing to show.", prose={"value"})


@schedules.command("set")
def set_schedule(
    name: Name,
    every: Annotated[str | None, typer.Option(help="A new interval.")] = None,
    cron: Annotated[str | None, typer.Option(help="A new cron expression.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="A new zone.")] = None,
    missed: Annotated[str | None, typer.Option(help="'once' or 'skip'.")] = None,
    overlap: Annotated[str | None, typer.Option(help="'allow' or 'skip'.")] = None,
    only_if_new: Annotated[bool | None, typer.Option("--only-if-new/--always")] = None,
    more: More = None,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable")] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given, keep the rest; --set changes single fields of the request."""
    from academy.cli.output import connect, print_json, request_body
    from academy.wire.sending import quoted

    path = f"/schedules/{quoted('schedule', name)}"
    given = {
        "time_zone": time_zone,
        "missed": missed,
        "overlap": overlap,
        "only_if_new": only_if_new,
        "enabled": enabled,
    }
    with connect() as client:
        found = client.get(path)
        body = {field: found[field] for field in _SENT}
        body |= {field: value for field, value in given.items() if value is not None}
        if every is not None or cron is not None:
            body |= {"every": _seconds_or_text(every), "cron": cron}
        body["request"] = body["request"] | request_body(more)
        answer = client.request("PUT", path, body=body).json()
    if as_json:
        print_json(answer)
    else:
        typer.echo(_next(answer))


@schedules.command("remove")
def remove_schedule(name: Name, as_json: AsJson = False) -> None:
    """Delete a schedule; its jobs stay."""
    from academy.cli.output import connect, print_message
    from academy.wire.sending import quoted

    with connect() as client:
        answer = client.request("DELETE", f"/schedules/{quoted('schedule', name)}").json()
    print_message(answer, as_json)


def _seconds_or_text(every: str | None) -> Any:
    is_seconds = every is not None and every.isascii() and every.isdecimal() and len(every) < 20
    return int(every) if every is not None and is_seconds else every


def _when(schedule: dict[str, Any]) -> str:
    if schedule["every"] is not None:
        return f"every {schedule['every']:g} s"
    return f"{schedule['cron']} {schedule['time_zone']}"


def _next(schedule: dict[str, Any]) -> str:
    from academy.cli.output import short_time

    when = f"next at {short_time(schedule['next_at'])}" if schedule["enabled"] else "disabled"
    return f"{schedule['name']}: {_when(schedule)}, {when}"


def _outcome(schedule: dict[str, Any]) -> str:
    if schedule["last_outcome"] == "submitted":
        return str(schedule["last_job_id"])
    if schedule["last_refusal"] is not None:
        return f"refused: {schedule['last_refusal']['message']}"
    if schedule["last_skip"] is not None:
        return f"skipped: {schedule['last_skip']['message']}"
    return schedule["last_outcome"] or ""
