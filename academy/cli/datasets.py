"""`academy dataset`: curate, upload, look into, compare and download datasets."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from academy.cli.arguments import AsJson, More
from academy.cli.failures import FileUnusable

dataset = typer.Typer(
    help="Curate a dataset from lessons and git history, or work with the datasets that there are.",
    invoke_without_command=True,
)

Format = Annotated[
    str | None,
    typer.Option(help="alpaca, sharegpt, openai, prompt-completion or preference."),
]
DatasetId = Annotated[str, typer.Argument(help="The id of a dataset.")]


@dataset.callback()
def curate(
    context: typer.Context,
    lessons_limit: Annotated[int | None, typer.Option(help="Newest lessons to read.")] = None,
    git_commits_limit: Annotated[int | None, typer.Option(help="Newest commits to read.")] = None,
    repository: Annotated[
        list[str] | None,
        typer.Option(help="A git repository, or its address where allowed; may be given often."),
    ] = None,
    format: Format = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Curate a dataset from lessons and git history, and show what it holds."""
    if context.invoked_subcommand is not None:
        return
    from academy.cli.failures import watching
    from academy.cli.output import connect, request_body
    from academy.curation.git.repository import is_remote  # only a request with paths needs it

    body = request_body(
        more,
        lessons_limit=lessons_limit,
        git_commits_limit=git_commits_limit,
        repositories=[
            each if is_remote(each) else str(Path(each).absolute()) for each in repository
        ]
        if repository
        else None,
        format=format,
    )
    with connect() as client, watching() as job:
        answer = client.curate(body, on_queued=job.is_queued)
    _show_made(answer, as_json)


@dataset.command("upload")
def upload(
    file: Annotated[
        Path, typer.Argument(help="A JSONL or Parquet file.", exists=True, dir_okay=False)
    ],
    format: Format = None,
    base_model: Annotated[
        str | None, typer.Option(help="Base model whose tokenizer counts tokens.")
    ] = None,
    split: Annotated[float | None, typer.Option(help="Share of the rows held out.")] = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Make a dataset of a file. A file with bad lines is refused, and the lines are named."""
    from academy.cli.failures import watching
    from academy.cli.output import connect, request_body

    options = request_body(more, format=format, base_model=base_model, split=split)
    with connect() as client, watching() as job:
        answer = client.upload_dataset(file, 1800.0, job.is_queued, **options)
    _show_made(answer, as_json)


@dataset.command("list")
def list_datasets(
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest datasets."""
    from academy.cli.output import connect, print_json, print_table, short_time

    with connect() as client:
        answer = client.get("/datasets", limit=limit)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["dataset_id"],
            short_time(each["created_at"]),
            each["format"],
            each["train_rows"],
            each["heldout_rows"],
        )
        for each in answer["datasets"]
    ]
    columns = ("dataset", "made", "format", "train", "held out")
    print_table(columns, rows, "There are no datasets yet.", prose={"made"})


@dataset.command("card")
def card(dataset_id: DatasetId, as_json: AsJson = False) -> None:
    """Print a dataset's card: what is in it, where it comes from, what was left out."""
    from academy.cli.output import connect, print_json
    from academy.wire.sending import quoted

    path = f"/datasets/{quoted('dataset', dataset_id)}/card"
    if not as_json:
        _download(path, None)
        return
    with connect() as client:
        text = client.request("GET", path).text
    print_json({"dataset_id": dataset_id, "card": text})


@dataset.command("download")
def download(
    dataset_id: DatasetId,
    file: Annotated[
        str | None, typer.Option(help="dataset, train, heldout, drops, statistics, card, manifest.")
    ] = None,
    format: Format = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file to write to.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Tell as JSON what was written to --out.")
    ] = False,
) -> None:
    """Download a dataset's rows in any format, or one of its files."""
    from academy.wire.sending import quoted

    if as_json and out is None:
        raise typer.BadParameter("--json tells what was written, so it needs --out")
    path = f"/datasets/{quoted('dataset', dataset_id)}/download"
    _download(path, out, as_json, file=file, format=format)


@dataset.command("delete")
def delete(dataset_id: DatasetId, as_json: AsJson = False) -> None:
    """Delete a dataset that nothing names; its files go after the artifacts' grace time."""
    from academy.cli.output import connect, print_message
    from academy.wire.sending import quoted

    with connect() as client:
        answer = client.delete(f"/datasets/{quoted('dataset', dataset_id)}")
    print_message(answer, as_json)


@dataset.command("diff")
def diff(
    a: Annotated[str, typer.Argument(help="The dataset before.")],
    b: Annotated[str, typer.Argument(help="The dataset after.")],
    kind: Annotated[
        str | None, typer.Option(help="Show these rows: added, removed, changed or moved.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many rows.")] = 20,
    after: Annotated[int, typer.Option(min=0, help="Rows to pass over.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Compare two datasets: their rows, their options and their figures."""
    from academy.cli.output import connect, print_json, print_table

    with connect() as client:
        answer = client.diff_datasets(a, b, kind=kind, limit=limit, after=after)
    if as_json:
        print_json(answer)
        return
    print_table(("rows", "number"), answer["counts"].items(), "They have no rows.")
    for noun in ("request", "statistics"):
        rows = [(name, each["a"], each["b"]) for name, each in answer[noun].items()]
        columns = (noun, "before", "after")
        print_table(columns, rows, f"The {noun} is the same.", prose=columns[1:])
    for row in answer["rows"]:
        for sign, each in (("-", row["a"]), ("+", row["b"])):
            if each is not None:
                typer.echo(f"{sign} {each['id']} ({each['split']}): {_last_words(each)}")
    if answer["next"] is not None:
        typer.echo(f"More: --after {answer['next']}")


def _show_made(answer: dict[str, Any], as_json: bool) -> None:
    from academy.cli.output import print_json, print_table

    if as_json:
        print_json(answer)
        return
    typer.echo(answer["message"])
    rows = _dataset_rows(answer)
    for place, times in answer.get("report", {}).get("ignored", {}).items():
        rows.append((f"not used: {place}", times))
    print_table(("what", "value"), rows, "It has no statistics.", prose={"what", "value"})
    for line in answer["statistics"].get("advice", []):
        typer.echo(line)


def _dataset_rows(answer: dict[str, Any]) -> list[tuple[str, Any]]:
    """What a person wants to know of a dataset; ``--json`` shows all of it."""
    statistics = answer["statistics"]
    rows: list[tuple[str, Any]] = [("dataset", answer.get("dataset_id"))]
    for name, each in statistics.get("sources", {}).items():
        dropped = ", ".join(f"{reason} {count}" for reason, count in each["dropped"].items())
        kept = f"{each['kept']} of {each['read']} kept"
        rows.append((f"from {name}", f"{kept}; dropped: {dropped}" if dropped else kept))
    rows += [
        (name.replace("_", " "), value)
        for name, value in statistics.items()
        if name in {"train_rows", "heldout_rows", "avg_input_length", "avg_output_length"}
    ]
    return [*rows, ("path", answer["dataset_path"])]


def _last_words(row: dict[str, Any]) -> str:
    """The answer of a row, as far as it fits into a line."""
    text = " ".join(str(row.get("chosen") or row["messages"][-1]["content"]).split())
    return text if len(text) <= 100 else text[:99] + "…"


def _download(path: str, out: Path | None, as_json: bool = False, **params: Any) -> None:
    """To the file, which shows when it is whole, or to standard output."""
    from academy.cli.output import connect, print_json

    if out is not None and out.is_dir():
        raise FileUnusable(path=out, why="Is a directory")
    if out is not None and not out.parent.is_dir():
        raise FileUnusable(path=out.parent, why="No such directory")
    with connect() as client:
        if out is None:
            client.download(path, sys.stdout.buffer, **params)
            sys.stdout.flush()
            return
        temporary = out.with_name(f".{out.name}.part")
        try:
            with temporary.open("wb") as stream:
                written = client.download(path, stream, **params)
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
    if as_json:
        print_json({"path": str(out), "bytes": written})
    else:
        typer.echo(f"{out}: {written} bytes")
