"""`academy status`, `train`, `submit`, `kinds`, `logs`, `jobs`, `cancel`, `pause`, `resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from academy.cli.arguments import AsJson, More

if TYPE_CHECKING:
    from academy.client import Client

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Watch it to its end.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, as `academy jobs` shows.")]


def status(as_json: AsJson = False) -> None:
    """Show components, devices, lessons, jobs and configuration."""
    from academy.cli.output import connect, print_json, print_table

    with connect() as client:
        answer = client.get("/status")
    if as_json:
        print_json(answer)
        return
    rows: list[tuple[str, Any]] = [("address", client.url)]
    for name, value in answer.items():
        if isinstance(value, dict):
            rows += [(f"{name}.{inner}", each) for inner, each in value.items() if each != []]
        elif name == "workers":
            rows += [(f"worker {each['queue']}", f"{each['id']} {_seen(each)}") for each in value]
        elif name == "runtimes":
            rows += [
                (f"runtime {each['url']}", f"{each['state']} ({each['kind']})") for each in value
            ]
        else:
            rows.append((name, value))
    print_table(("what", "value"), rows, "The server said nothing.")


def _seen(worker: dict[str, Any]) -> str:
    doing = worker["obstacle"] or worker["job_id"] or ""
    return f"{worker['state']} {doing}".strip() + f", last seen {worker['last_seen_at'][11:19]} UTC"


def train(
    dataset: Annotated[str | None, typer.Option(help="Dataset id; empty: the newest.")] = None,
    base_model: Annotated[str | None, typer.Option(help="Base model by name.")] = None,
    lora_rank: Annotated[int | None, typer.Option(help="Rank of the LoRA update.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak step size.")] = None,
    num_epochs: Annotated[int | None, typer.Option(help="Passes over the rows.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows at once.")] = None,
    max_seq_length: Annotated[int | None, typer.Option(help="Longest row in tokens.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps.")] = None,
    more: More = None,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune an adapter; prints the job's id. Exit status 1 if it is followed and fails."""
    from academy.cli.output import connect, request_body

    body = request_body(
        more,
        dataset_id=dataset,
        base_model=base_model,
        lora_rank=lora_rank,
        learning_rate=learning_rate,
        num_epochs=num_epochs,
        batch_size=batch_size,
        max_seq_length=max_seq_length,
        max_steps=max_steps,
    )
    with connect() as client:
        _tell(client, client.post("/train", body), follow, as_json)


def submit(
    kind: Annotated[str, typer.Argument(help="A kind of job, as `academy kinds` shows.")],
    more: More = None,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Queue a job of any kind; --set gives the fields of its request. Prints the job's id."""
    from academy.cli.output import connect, request_body

    with connect() as client:
        answer = client.post("/jobs", {"kind": kind, "request": request_body(more)})
        _tell(client, answer, follow, as_json)


def kinds(as_json: AsJson = False) -> None:
    """List the kinds of jobs that the server knows; --json has the schema of each request."""
    from academy.cli.output import connect, print_json, print_table

    with connect() as client:
        answer = client.get("/jobs/kinds")
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["kind"],
            each["queue"],
            "yes" if each["can_pause"] else "no",
            each["summary"],
        )
        for each in answer["kinds"]
    ]
    print_table(("kind", "queue", "pauses", "what it does"), rows, "There are none.")


def _tell(client: Client, answer: dict[str, Any], follow: bool, as_json: bool) -> None:
    """Print what was queued; with `follow` watch it, and exit with 1 unless it finishes."""
    from academy.cli.output import print_json

    if as_json:
        print_json(answer)
    else:
        typer.echo(answer["job_id"])
    if follow:
        from academy.cli.watch import show

        if show(client.follow(answer["job_id"])) != "finished":
            raise typer.Exit(1)


def logs(
    job: JobId,
    follow: Follow = False,
    after: Annotated[str, typer.Option(help="Only what came after this event id.")] = "",
    search: Annotated[str | None, typer.Option("-q", help="Only lines with this text.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Lines a page.")] = 500,
) -> None:
    """Print a job's log; with -f follow it live, with progress, loss and ETA."""
    from academy.cli.output import connect
    from academy.wire.sending import quoted

    with connect() as client:
        if follow:
            from academy.cli.watch import show

            if show(client.follow(job, after)) == "failed":
                raise typer.Exit(1)
            return
        cursor: str | None = after or None
        while True:
            page = client.get(
                f"/jobs/{quoted('job', job)}/logs", after=cursor, limit=limit, q=search
            )
            for line in page["lines"]:
                typer.echo(line["message"])
                cursor = line["id"]
            if not page.get("has_more"):
                return


def jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs in this status.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only of a kind of `academy kinds`.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs."""
    from academy.cli.output import connect, print_json, print_table, short_time

    with connect() as client:
        answer = client.get("/jobs", status=status, kind=kind, limit=limit)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["job_id"],
            each.get("kind"),
            each["status"],
            f"{each['progress']:.0%}" if each.get("progress") is not None else "",
            short_time(each.get("started_at")),
            short_time(each.get("finished_at")),
        )
        for each in answer["jobs"]
    ]
    columns = ("job", "kind", "status", "progress", "started", "finished")
    print_table(columns, rows, "There are no such jobs.")


def cancel(job: JobId) -> None:
    """Cancel a job that has not ended."""
    from academy.cli.output import connect
    from academy.wire.sending import quoted

    with connect() as client:
        answer = client.request("DELETE", f"/jobs/{quoted('job', job)}").json()
    typer.echo(answer["message"])


def pause(job: JobId) -> None:
    """Pause a job; a running one writes a checkpoint first and frees its place."""
    _move(job, "pause")


def resume(job: JobId) -> None:
    """Let a paused job go on from its last checkpoint."""
    _move(job, "resume")


def _move(job: str, verb: str) -> None:
    from academy.cli.output import connect
    from academy.wire.sending import quoted

    with connect() as client:
        answer = client.post(f"/jobs/{quoted('job', job)}/" + verb)
    typer.echo(answer["message"])
