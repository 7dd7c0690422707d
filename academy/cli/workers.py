"""`academy workers`, `drain` and `shares`: who does the work, asking one to stop, and for whom."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from academy.cli.arguments import AsJson


def workers(as_json: AsJson = False) -> None:
    """List the live workers: last seen, current job, devices, their load, and obstacles."""
    from academy.cli.output import connect, print_json, print_table
    from academy.cli.times import local_time

    with connect() as client:
        answer = client.get("/workers")
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["id"],
            each["queue"],
            each["state"],
            each["job_id"] or "",
            local_time(each["last_seen_at"], seconds=True),
            ", ".join(_device(gpu) for gpu in each["gpus"]),
        )
        for each in answer["workers"]
    ]
    columns = ("worker", "queue", "state", "job", "last seen", "devices")
    empty = "No worker was heard of lately; start one with `academy worker`."
    print_table(columns, rows, empty, prose=columns[4:])
    for each in answer["workers"]:
        if each["obstacle"]:
            typer.echo(f"{each['id']} takes no jobs: {each['obstacle']}")


def drain(
    worker: Annotated[
        str, typer.Argument(metavar="WORKER", help="An id, as `academy workers` shows.")
    ],
    as_json: AsJson = False,
) -> None:
    """Ask a worker to checkpoint its job, hand it back and stop; needs an admin key."""
    from academy.cli.output import connect, print_message
    from academy.wire.sending import quoted

    with connect() as client:
        answer = client.post(f"/workers/{quoted('worker', worker)}/drain")
    print_message(answer, as_json)


def shares(
    name: Annotated[
        str | None, typer.Argument(metavar="[SHARE]", help="Such as role:coder or key:ci.")
    ] = None,
    weight: Annotated[float | None, typer.Option(help="Give that share this weight.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how roles and keys share the workers; with --weight change it (needs an admin key)."""
    from academy.cli.output import connect, print_json, print_table
    from academy.wire.sending import quoted

    if (name is None) != (weight is None):
        raise typer.BadParameter("give both a share and --weight, or neither")
    with connect() as client:
        if name is not None:
            client.request("PUT", f"/shares/{quoted('share', name)}", body={"weight": weight})
        answer = client.get("/shares")
    if as_json:
        print_json(answer)
        return
    columns = ("share", "weight", "running", "queued")
    rows = [
        [each[column] if column != "share" else each["name"] for column in columns]
        for each in answer["shares"]
    ]
    print_table(columns, rows, "Nobody has jobs or a weight.")


def _device(gpu: dict[str, Any]) -> str:
    load = gpu.get("utilization")
    return str(gpu.get("name")) if load is None else f"{gpu.get('name')} {load:.0%}"
