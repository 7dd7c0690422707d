"""`academy sweep …`: searching for the recipe that learns most."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from academy.cli.arguments import AsJson, More
from academy.errors import AcademyError

sweep = typer.Typer(help="Search for the values of a recipe's knobs that learn most.")

SweepId = Annotated[str, typer.Argument(metavar="SWEEP", help="A sweep's id.")]


class BadKnob(AcademyError):
    """{text!r} is no knob with its values."""

    code = "bad_option"
    next_step = "Write learning_rate=1e-4,1e-3 for a list, or learning_rate=1e-5..1e-3 for a range."


@sweep.command("start")
def start_sweep(
    knobs: Annotated[
        list[str],
        typer.Argument(
            metavar="KNOB…",
            help="lora_rank=8,16 is a list, learning_rate=1e-5..1e-3 a range; a ':log' behind a "
            "range draws by orders of magnitude.",
        ),
    ],
    method: Annotated[str, typer.Option(help="'grid', 'random' or 'tpe'.")] = "grid",
    max_trials: Annotated[int, typer.Option(help="Trials at most.")] = 20,
    max_total_steps: Annotated[int | None, typer.Option(help="Steps of all trials.")] = None,
    parallel: Annotated[int, typer.Option(help="Trials at the same time.")] = 2,
    median: Annotated[bool, typer.Option("--median", help="Cancel poor trials early.")] = False,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Begin a sweep; --set gives the fields of the training that all trials share."""
    from academy.cli.output import connect, print_json, request_body

    body = {
        "knobs": _knobs(knobs),
        "training": request_body(more),
        "method": method,
        "max_trials": max_trials,
        "max_total_steps": max_total_steps,
        "parallel": parallel,
        "early_stopping": "median" if median else "none",
    }
    with connect() as client:
        answer = client.post("/train/sweep", body)
    if as_json:
        print_json(answer)
    else:
        typer.echo(answer["sweep_id"])


@sweep.command("show")
def show_sweep(sweep_id: SweepId, as_json: AsJson = False) -> None:
    """Show a sweep's trials, the best one first."""
    from academy.cli.output import connect, print_json, print_table

    with connect() as client:
        answer = client.sweep(sweep_id)
    if as_json:
        print_json(answer)
        return
    typer.echo(f"{answer['status']}: {answer['ended_because'] or 'trials are under way'}")
    trials = sorted(answer["trials"], key=_rank)
    rows = [
        (
            each["number"],
            each["job_id"],
            each["status"],
            "" if each["loss"] is None else f"{each['loss']:.4f}",
            " ".join(f"{name}={value}" for name, value in each["values"].items()),
        )
        for each in trials
    ]
    columns = ("trial", "job", "status", "loss", "values")
    print_table(columns, rows, "There are no trials.", prose={"values"})
    if answer["note"]:
        typer.echo(answer["note"])


@sweep.command("list")
def list_sweeps(as_json: AsJson = False) -> None:
    """List the newest sweeps."""
    from academy.cli.output import connect, print_json, print_table, short_time

    with connect() as client:
        answer = client.get("/train/sweep")
    if as_json:
        print_json(answer)
        return
    rows = [
        (
            each["sweep_id"],
            each["status"],
            each["method"],
            short_time(each["created_at"]),
            each["ended_because"] or "",
        )
        for each in answer["sweeps"]
    ]
    columns = ("sweep", "status", "method", "created", "ended because")
    print_table(columns, rows, "There are no sweeps.", prose=columns[3:])


@sweep.command("cancel")
def cancel_sweep(sweep_id: SweepId, as_json: AsJson = False) -> None:
    """Cancel a sweep and all of its trials that are not over."""
    from academy.cli.output import connect, print_message
    from academy.wire.sending import quoted

    with connect() as client:
        answer = client.request("DELETE", f"/train/sweep/{quoted('sweep', sweep_id)}").json()
    print_message(answer, as_json)


def _knobs(texts: list[str]) -> dict[str, Any]:
    from academy.cli.values import GivenTwice

    found: dict[str, Any] = {}
    for text in texts:
        name, knob = _knob(text)
        if name in found:
            raise GivenTwice(name=name)
        found[name] = knob
    return found


def _knob(text: str) -> tuple[str, dict[str, Any]]:
    """``lora_rank=8,16`` or ``learning_rate=1e-5..1e-3:log`` as the request has it."""
    from academy.cli.values import read_value

    name, separator, given = text.partition("=")
    if not separator or not name or not given:
        raise BadKnob(text=text)
    if ".." in given:
        given, colon, scale = given.partition(":")
        low, _, high = given.partition("..")
        if colon and scale != "log":
            raise BadKnob(text=text)
        ends = {"low": read_value(name, low), "high": read_value(name, high)}
        if any(isinstance(each, str) for each in ends.values()):
            raise BadKnob(text=text)
        return name, {**ends, "log": scale == "log"}
    return name, {"values": [read_value(name, each) for each in given.split(",")]}


def _rank(trial: dict[str, Any]) -> tuple[bool, float, int]:
    loss = trial["loss"]
    return (loss is None, loss if loss is not None else 0.0, trial["number"])
