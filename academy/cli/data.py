"""`academy lessons …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from academy.cli.arguments import AsJson
from academy.errors import AcademyError, shortened

lessons = typer.Typer(help="Record and list lessons: a situation and its solution.")


class BadLine(AcademyError):
    """Line {number} of {file} is not JSON: {why}."""

    code = "not_json"
    next_step = "Correct the line and import the file again; nothing of it was recorded."


#: Lessons sent in one request; far below the server's limit on bodies.
_BATCH = 500
#: Characters of a text that a list shows; a lesson's may be a whole file.
_MOST_SHOWN = 200


@lessons.command("add")
def add_lesson(
    situation: Annotated[str, typer.Option(help="What was asked or went wrong.")],
    solution: Annotated[str, typer.Option(help="What was right.")],
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be given often.")] = None,
    as_json: AsJson = False,
) -> None:
    """Record one lesson."""
    from academy.cli.output import connect, print_json

    with connect() as client:
        body = {"situation": situation, "solution": solution, "tags": tag or []}
        answer = client.post("/lessons", body)
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{answer['message']}: {', '.join(answer['ids'])}")


@lessons.command("import")
def import_lessons(
    file: Annotated[
        Path, typer.Argument(help="One JSON lesson a line.", exists=True, dir_okay=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Record many lessons from a JSONL file; sending it again changes nothing."""
    from academy.cli.output import connect, print_json

    lines = _read_lines(file)
    counts = {"received": 0, "added": 0, "known": 0}
    with connect() as client:
        for start in range(0, len(lines), _BATCH):
            batch = "\n".join(lines[start : start + _BATCH]) + "\n"
            answer = client.post_lines("/lessons", batch)
            counts = {name: count + answer[name] for name, count in counts.items()}
    if as_json:
        print_json({"file": str(file), **counts})
    else:
        typer.echo(f"{len(lines)} lessons of {file} are recorded.")


@lessons.command("delete")
def delete_lesson(
    lesson_id: Annotated[str, typer.Argument(help="Its id.")], as_json: AsJson = False
) -> None:
    """Delete a lesson; the datasets that were made with it stay."""
    from academy.cli.output import connect, print_message
    from academy.wire.sending import quoted

    with connect() as client:
        answer = client.request("DELETE", f"/lessons/{quoted('lesson', lesson_id)}").json()
    print_message(answer, as_json)


@lessons.command("list")
def list_lessons(
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the newest lessons, long texts shortened; --json has all of them."""
    from academy.cli.output import connect, print_json, print_table, short_time

    with connect() as client:
        answer = client.get("/lessons", limit=limit)
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["id"],
            short_time(each.get("created_at")),
            shortened(each["situation"], _MOST_SHOWN),
            shortened(each["solution"], _MOST_SHOWN),
        )
        for each in answer["lessons"]
    ]
    columns = ("lesson", "recorded", "situation", "solution")
    print_table(columns, rows, "There are no lessons yet.", prose=columns[1:])


def _read_lines(file: Path) -> list[str]:
    """The lines that are not empty, each of them JSON. Raises `BadLine` before any is sent."""
    from academy.cli.values import strict_json

    lines = []
    # Only a line feed ends a line of JSONL; a text in it may hold other separators.
    for number, raw in enumerate(file.read_bytes().split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            line = raw.decode("utf-8")
            strict_json(line)
        except UnicodeDecodeError as error:
            why = f"byte {error.start} is not UTF-8"
            raise BadLine(number=number, file=file, why=why) from None
        except ValueError as error:
            raise BadLine(number=number, file=file, why=error) from None
        lines.append(line)
    return lines
