"""What each event of a job says to a person."""

from __future__ import annotations

import re
from typing import Any

from academy.cli.tables import printable
from academy.cli.times import clock, local_time
from academy.wire.sse_reading import Event

#: Colours and movements of the cursor (ECMA-48 control sequences), which libraries print.
_CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def line(event: Event) -> str:
    """The event with its local time; empty for an event that says nothing."""
    said = sentence(event)
    time = local_time(event.data.get("timestamp"), seconds=True)
    return f"{time}  {said}" if said and time else said


def sentence(event: Event) -> str:
    """What an event says to a person; empty for those that say nothing."""
    data = event.data
    match event.type:
        case "log":
            return _last_state(str(data.get("message", "")))
        case "metrics":
            return summary(data)
        case "progress":
            return progress(data)
        case "stage":
            return f"── {data.get('stage')}: {data.get('message', '')}".rstrip(": ")
        case "status":
            return _status(data)
        case "evaluation":
            return _evaluation(data)
        case "checkpoint":
            return f"checkpoint at step {data.get('step')} {data.get('digest') or ''}".rstrip()
        case "result":
            return f"result {data.get('digest') or ''}".rstrip()
        case "error":
            return f"error: {data.get('message', '')} {data.get('next_step') or ''}".strip()
        case "reconnecting":
            return f"(the connection broke: {data.get('message')}; trying again)"
        case "truncated":
            return "(older lines are no longer kept)"
        case _:
            return ""


def summary(metrics: dict[str, Any]) -> str:
    """One line about one step: ``step 40/120 · loss 2.314 · rate 2.0e-04 · … · ETA 3:20``."""
    parts = []
    if metrics.get("step") is not None:
        parts.append(f"step {metrics['step']}/{metrics.get('total_steps', '?')}")
    if metrics.get("epoch") is not None:
        parts.append(f"epoch {metrics['epoch']:.2f}")
    if metrics.get("loss") is not None:
        parts.append(f"loss {metrics['loss']:.3f}")
    if metrics.get("learning_rate") is not None:
        parts.append(f"learning rate {metrics['learning_rate']:.1e}")
    if metrics.get("tokens_per_second") is not None:
        parts.append(f"{metrics['tokens_per_second']:.0f} tokens/s")
    if metrics.get("eta_seconds") is not None:
        parts.append(f"ETA {clock(metrics['eta_seconds'])}")
    return " · ".join(parts)


def progress(figures: dict[str, Any]) -> str:
    """How far a curation is: ``reading lessons · 40/200 · 35 of 40 rows kept``."""
    parts = [str(figures.get("stage") or "")]
    if figures.get("total"):
        parts.append(f"{figures.get('done') or 0}/{figures['total']}")
    if figures.get("rows_read"):
        parts.append(f"{figures.get('rows_kept') or 0} of {figures['rows_read']} rows kept")
    if figures.get("eta_seconds"):
        parts.append(f"ETA {clock(figures['eta_seconds'])}")
    return " · ".join(each for each in parts if each)


def _evaluation(data: dict[str, Any]) -> str:
    where = f" at step {data['step']}" if data.get("step") is not None else ""
    loss = f"{float(data['loss']):.4f}" if data.get("loss") is not None else "not finite"
    return f"held-out loss of the {data.get('name')}{where}: {loss} over {data.get('rows')} rows"


def _status(data: dict[str, Any]) -> str:
    text = f"== {data.get('status')}"
    if data.get("attempt") is not None:
        text += f", attempt {data['attempt']}"
    if data.get("worker"):
        text += f" by {data['worker']}"
    failure = data.get("failure") or {}
    if failure:
        text += f": {failure.get('message')} {failure.get('next_step') or ''}"
    return text.rstrip()


def _last_state(message: str) -> str:
    """The message without what moves the cursor; of a line written over, what was left of it."""
    lines = []
    for each in _CONTROLS.sub("", message).rstrip().split("\n"):
        states = [state for state in each.split("\r") if state.strip()]
        lines.append(printable(states[-1]) if states else "")
    return "\n".join(lines)
