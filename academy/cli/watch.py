"""`academy logs -f`: a job's events on a terminal, with a progress bar, the loss and the ETA."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from academy.client import Event

_PLAIN_METRICS_SECONDS = 5.0


def show(events: Iterable[Event], *, plain: bool | None = None) -> str:
    """Print events until they end; the job's last status (empty if none came).

    On a terminal metrics move a progress bar; elsewhere (`plain`) they are lines, every five
    seconds at most.
    """
    plain = not sys.stdout.isatty() if plain is None else plain
    return _show_plain(events) if plain else _show_live(events)


def summary(metrics: dict[str, Any]) -> str:
    """One line about one step: ``step 40/120 · loss 2.314 · 132 tokens/s · ETA 3:20``."""
    parts = []
    if metrics.get("step") is not None:
        parts.append(f"step {metrics['step']}/{metrics.get('total_steps', '?')}")
    if metrics.get("loss") is not None:
        parts.append(f"loss {metrics['loss']:.3f}")
    if metrics.get("tokens_per_second") is not None:
        parts.append(f"{metrics['tokens_per_second']:.0f} tokens/s")
    if metrics.get("eta_seconds") is not None:
        parts.append(f"ETA {clock(metrics['eta_seconds'])}")
    return " · ".join(parts)


def sentence(event: Event) -> str:
    """What an event that is not a metric says to a person; empty for those that say nothing."""
    data = event.data
    match event.type:
        case "log" if data.get("level") == "noise":
            return ""  # what libraries print; the log pages have it
        case "log":
            return str(data.get("message", ""))
        case "stage":
            return f"── {data.get('stage')}: {data.get('message', '')}".rstrip(": ")
        case "status":
            return _status_sentence(data)
        case "evaluation":
            return (
                f"held-out loss of the {data.get('name')}: {float(data.get('loss') or 0):.4f}"
                f" over {data.get('rows')} rows"
            )
        case "checkpoint":
            return f"checkpoint at step {data.get('step')}"
        case "error":
            return f"error: {data.get('message', '')} {data.get('next_step') or ''}".strip()
        case "reconnecting":
            return f"(the connection broke: {data.get('message')}; trying again)"
        case "truncated":
            return "(older lines are no longer kept)"
        case _:
            return ""


def clock(seconds: float) -> str:
    """``3:20`` or ``1:02:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _status_sentence(data: dict[str, Any]) -> str:
    failure = data.get("failure") or {}
    text = f"== {data.get('status')}"
    if failure:
        text += f": {failure.get('message')} {failure.get('next_step') or ''}"
    return text.rstrip()


def _show_plain(events: Iterable[Event]) -> str:
    status, last_metrics = "", -_PLAIN_METRICS_SECONDS
    for event in events:
        if event.type == "metrics":
            is_end = event.data.get("step") == event.data.get("total_steps")
            if is_end or time.monotonic() - last_metrics >= _PLAIN_METRICS_SECONDS:
                last_metrics = time.monotonic()
                typer.echo(summary(event.data))
            continue
        status = str(event.data.get("status") or "") if event.type == "status" else status
        if line := sentence(event):
            typer.echo(line)
    return status


def _show_live(events: Iterable[Event]) -> str:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    status = ""
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), transient=False) as progress:
        bar: TaskID | None = None
        for event in events:
            if event.type == "metrics":
                bar = _move(progress, bar, event.data)
                continue
            status = str(event.data.get("status") or "") if event.type == "status" else status
            if line := sentence(event):
                progress.console.print(line, markup=False, highlight=False)
    return status


def _move(progress: Progress, bar: TaskID | None, metrics: dict[str, Any]) -> TaskID:
    if bar is None:
        bar = progress.add_task("", total=1.0)
    done = metrics.get("progress")
    if done is None and metrics.get("total_steps"):
        done = metrics.get("step", 0) / metrics["total_steps"]
    progress.update(bar, completed=done or 0.0, description=summary(metrics))
    return bar
