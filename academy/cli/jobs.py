"""`academy train`, `submit`, `kinds`, `logs`, `jobs`, `cancel`, `pause` and `resume`."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

import typer

from academy.cli.arguments import AsJson, More

if TYPE_CHECKING:
    from academy.client import Client

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Watch it to its end.")]
JobId = Annotated[str, typer.Argument(metavar="JOB", help="A job's id, as `academy jobs` shows.")]


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
    from academy.cli.failures import watching
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
    with connect() as client, watching() as job:
        answer = client.post("/train", body)
        job.is_queued(answer["job_id"])
        _tell(client, answer, follow, as_json)


def submit(
    kind: Annotated[str, typer.Argument(help="A kind of job, as `academy kinds` shows.")],
    more: More = None,
    follow: Follow = False,
    as_json: AsJson = False,
) -> None:
    """Queue a job of any kind; --set gives the fields of its request. Prints the job's id."""
    from academy.cli.failures import watching
    from academy.cli.output import connect, request_body

    with connect() as client, watching() as job:
        answer = client.post("/jobs", {"kind": kind, "request": request_body(more)})
        job.is_queued(answer["job_id"])
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
    columns = ("kind", "queue", "pauses", "what it does")
    print_table(columns, rows, "There are none.", prose=columns[3:])


def _tell(client: Client, answer: dict[str, Any], follow: bool, as_json: bool) -> None:
    """Print what was queued; with `follow` watch it, and exit with 1 unless it finishes."""
    from academy.cli.output import print_json, print_line

    if not as_json:
        typer.echo(answer["job_id"])
    elif follow:
        print_line(answer)
    else:
        print_json(answer)
    if follow and _follow(client, answer["job_id"], as_json=as_json) != "finished":
        raise typer.Exit(1)


def _follow(
    client: Client, job: str, *, as_json: bool, after: str = "", containing: str = ""
) -> str:
    """Show a job's events to its end; its last status."""
    from academy.cli.watch import view

    events = client.follow(job, after)
    return view.print_events(events) if as_json else view.show(events, containing=containing)


def logs(
    job: JobId,
    follow: Follow = False,
    after: Annotated[str, typer.Option(help="Only what came after this event id.")] = "",
    search: Annotated[str | None, typer.Option("-q", help="Only lines with this text.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the newest so many lines (not with -f).")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the events as they are; with -f one a line.")
    ] = False,
) -> None:
    """Print what a job said: its log, metrics, evaluations, checkpoints, attempts and times.

    With -f follow it live. A progress bar is one line, its last state.
    """
    from academy.cli.failures import watching
    from academy.cli.output import connect, print_json
    from academy.wire.sending import require_sendable

    require_sendable({"q": search}, "")
    containing = search or ""
    if follow:
        with watching(job), connect() as client:
            status = _follow(client, job, as_json=as_json, after=after, containing=containing)
        if status == "failed":
            raise typer.Exit(1)
        return
    from academy.cli.watch.bars import folded
    from academy.cli.watch.sentences import line
    from academy.cli.watch.view import is_wanted

    with connect() as client:
        events = client.history(job, after)
        if as_json:
            found = [each.data for each in events if is_wanted(each, containing)]
            newest = found[-limit:] if limit else found
            print_json({"job_id": job, "count": len(newest), "events": newest})
            return
        said = (line(each) for each in folded(events) if is_wanted(each, containing))
        lines = deque((each for each in said if each), limit) if limit else said
        for text in filter(None, lines):
            typer.echo(text)


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
            f"{each['status']} {_share(each.get('progress'))}".rstrip(),
            short_time(each.get("started_at")),
            short_time(each.get("finished_at")),
        )
        for each in answer["jobs"]
    ]
    columns = ("job", "kind", "status", "started", "finished")
    print_table(columns, rows, "There are no such jobs.", prose=columns[2:])


def cancel(job: JobId, as_json: AsJson = False) -> None:
    """Cancel a job that has not ended."""
    from academy.cli.output import connect, print_message
    from academy.wire.sending import quoted

    with connect() as client:
        answer = client.request("DELETE", f"/jobs/{quoted('job', job)}").json()
    print_message(answer, as_json)


def pause(job: JobId, as_json: AsJson = False) -> None:
    """Pause a job; a running one writes a checkpoint first and frees its place."""
    _move(job, "pause", as_json)


def resume(job: JobId, as_json: AsJson = False) -> None:
    """Let a paused job go on from its last checkpoint."""
    _move(job, "resume", as_json)


def _move(job: str, verb: str, as_json: bool) -> None:
    from academy.cli.output import connect, print_message
    from academy.wire.sending import quoted

    with connect() as client:
        answer = client.post(f"/jobs/{quoted('job', job)}/" + verb)
    print_message(answer, as_json)


def _share(progress: float | None) -> str:
    """How far a job is; nothing where it does not tell, or where its status says it."""
    return "" if progress is None or progress >= 1 else f"{progress:.0%}"
