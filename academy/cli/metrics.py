"""`academy metrics`: a job's figures over its steps, as a table, CSV or JSON."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from academy.cli.arguments import AsJson

#: What the table for people shows; CSV and JSON have everything.
_SHOWN = ("type", "step", "epoch", "loss", "learning_rate", "grad_norm", "tokens_per_second")


def metrics(
    job: Annotated[str, typer.Argument(metavar="JOB", help="A job's id.")],
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, every column.")] = False,
    as_json: AsJson = False,
    points: Annotated[
        int | None, typer.Option(min=2, max=10_000, help="About so many steps, evenly chosen.")
    ] = None,
) -> None:
    """Show a job's figures: a row for each step and for each evaluation."""
    from academy.cli.output import connect, print_json, print_table
    from academy.wire.sending import quoted

    if as_csv and as_json:
        raise typer.BadParameter("give either --csv or --json", param_hint="--csv")
    path = f"/jobs/{quoted('job', job)}/metrics"
    with connect() as client:
        if as_csv:
            client.download(path, sys.stdout.buffer, format="csv", points=points)
            sys.stdout.flush()
            return
        answer = client.get(path, format="json", points=points)
    if as_json:
        print_json(answer)
        return
    rows = [*answer["metrics"], *answer["evaluations"]]
    rows.sort(key=lambda row: (row.get("step") or 0, row["type"] != "metrics"))
    print_table(_SHOWN, ([_shown(row, name) for name in _SHOWN] for row in rows), "No figures yet.")


def _shown(row: dict[str, Any], name: str) -> str:
    value = row.get("name") if name == "type" and row["type"] == "evaluation" else row.get(name)
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else str(value)
