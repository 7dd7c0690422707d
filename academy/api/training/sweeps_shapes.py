"""Sweeps: how what is sent is checked, and what is shown of them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from academy.api.jobs.jobs_shapes import Failure
from academy.errors import InvalidRequest
from academy.events.closing import failure_of
from academy.lifecycle import Status
from academy.store.engine import Session
from academy.store.plans.sweep_tables import Sweep
from academy.store.plans.sweeps import Trial
from academy.sweeps.advance import loss_of, request_of, steps_of
from academy.sweeps.request import KNOBS, MOST_TRIALS, NOT_KNOBS, SweepRequest
from academy.training.request import TrainingRequest
from academy.web.shapes import Done, Shown
from academy.web.strict_json import validate

SweepStatus = Literal["running", "finished", "failed", "cancelled"]

#: Said with each best trial, because the number next to it says more than it should.
FLATTERED = (
    "The best of several losses on the same rows looks better than it is. Compare the adapter on "
    "rows that no trial was measured on before it serves anybody."
)


class SweepStarted(Done):
    """A sweep was begun."""

    sweep_id: str
    status: SweepStatus
    max_trials: int = Field(description="trials there will be at most")


class TrialShown(Shown):
    """A trial: the values that it tries, and what came of it."""

    number: int
    job_id: str
    status: Status
    values: dict[str, Any]
    loss: float | None = Field(description="held-out loss per answer token, in nats")
    gain: dict[str, Any] | None = Field(description="against the base model, with its interval")
    steps: int = Field(description="steps that it takes from the budget")
    progress: float | None
    adapter_id: str | None
    stopped_because: str | None = Field(description="why the sweep cancelled it early")
    failure: Failure | None


class SweepSummary(Shown):
    """A sweep as lists show it."""

    sweep_id: str
    name: str | None
    status: SweepStatus
    method: Literal["grid", "random", "tpe"]
    created_at: datetime
    finished_at: datetime | None
    ended_because: str | None
    dataset_id: str
    base_model: str
    max_trials: int
    max_total_steps: int | None


class SweepShown(SweepSummary):
    """A sweep with its trials."""

    request: dict[str, Any]
    steps: int = Field(description="optimizer steps spent or set aside so far")
    trials: list[TrialShown]
    best: TrialShown | None = Field(description="the finished trial with the lowest loss")
    note: str | None


class SweepsPage(Shown):
    """A part of the sweeps, newest first."""

    count: int
    sweeps: list[SweepSummary]
    has_more: bool
    next: str | None


def checked(wanted: SweepRequest) -> SweepRequest:
    """The same, after the recipe itself has looked at every value; raises `InvalidRequest`."""
    _read(wanted.training, "/training", "In training")
    errors = [error for name in wanted.knobs for error in _errors_of(wanted, name)]
    if not errors:
        errors = _errors_of_whole(wanted)
    if errors:
        more = f" ({len(errors) - 1} more in errors)" if len(errors) > 1 else ""
        raise InvalidRequest(detail=f"{errors[0]['detail'].rstrip('.')}{more}.", errors=errors)
    return wanted


def summary_body(sweep: Sweep) -> dict[str, Any]:
    """The fields of `SweepSummary`."""
    request = request_of(sweep)
    return {
        "sweep_id": sweep.id,
        "name": request.name,
        "status": sweep.status,
        "method": request.method,
        "created_at": sweep.created_at,
        "finished_at": sweep.finished_at,
        "ended_because": sweep.ended_because,
        "dataset_id": sweep.dataset_id,
        "base_model": sweep.base_model,
        "max_trials": request.trials,
        "max_total_steps": request.max_total_steps,
    }


def sweep_body(session: Session, sweep: Sweep, trials: Sequence[Trial]) -> dict[str, Any]:
    """The fields of `SweepShown`."""
    shown = [_trial_body(session, trial) for trial in trials]
    finished = [each for each in shown if each["status"] == "finished" and each["loss"] is not None]
    best = min(finished, key=lambda each: each["loss"], default=None)
    return {
        **summary_body(sweep),
        "request": sweep.request,
        "steps": sum(each["steps"] for each in shown),
        "trials": shown,
        "best": best,
        "note": FLATTERED if len(finished) > 1 else None,
    }


def _trial_body(session: Session, trial: Trial) -> dict[str, Any]:
    job = trial.job
    result = job.result or {}
    return {
        "number": trial.row.number,
        "job_id": job.id,
        "status": job.status,
        "values": trial.row.knobs,
        "loss": loss_of(session, trial),
        "gain": result.get("summary", {}).get("gain"),
        "steps": steps_of(trial),
        "progress": 1.0 if job.status == "finished" else (job.progress or {}).get("progress"),
        "adapter_id": result.get("adapter_id"),
        "stopped_because": trial.row.stopped_because,
        "failure": failure_of(job),
    }


def _errors_of(wanted: SweepRequest, name: str) -> list[dict[str, Any]]:
    """What is wrong with one knob: its name, or values that the recipe refuses."""
    pointer = f"/knobs/{name.replace('~', '~0').replace('/', '~1')}"
    if name not in KNOBS:
        why = "says how to train, not what is learnt" if name in NOT_KNOBS else "is no knob"
        close = difflib.get_close_matches(name, KNOBS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        detail = f"{name!r} {why}{hint}"
        return [{"pointer": pointer, "detail": detail, "allowed": ", ".join(KNOBS)}]
    if name in wanted.training:
        detail = f"{name!r} is in training, too, so it is not clear what it shall be"
        return [{"pointer": pointer, "detail": detail, "allowed": "in knobs or in training"}]
    knob = wanted.knobs[name]
    if knob.values is None:
        given = [(f"{pointer}/low", knob.low), (f"{pointer}/high", knob.high)]
    else:
        given = [(f"{pointer}/values/{at}", value) for at, value in enumerate(knob.values)]
    errors = []
    for where, value in given:
        try:
            _read({name: value}, "", "")
        except InvalidRequest as error:
            # A rule about two fields at once, such as patience and interval, is looked at below.
            own = [each for each in error.errors if each["pointer"].startswith(f"/{name}")]
            errors += [each | {"pointer": where} for each in own]
    return errors


def _errors_of_whole(wanted: SweepRequest) -> list[dict[str, Any]]:
    """What is wrong with the knobs together: too many combinations, or one that is refused."""
    size = wanted.size
    if wanted.method == "grid" and size is None:
        ranges = [name for name, knob in wanted.knobs.items() if knob.values is None]
        detail = f"a grid needs lists of values, but {ranges[0]!r} is a range"
        allowed = "values, or the method 'random' or 'tpe'"
        return [{"pointer": f"/knobs/{ranges[0]}", "detail": detail, "allowed": allowed}]
    if wanted.method == "grid" and size is not None and size > wanted.max_trials:
        detail = f"the grid has {size} combinations, but max_trials is {wanted.max_trials}"
        allowed = f"a grid of at most max_trials combinations; max_trials may be {MOST_TRIALS}"
        return [{"pointer": "/knobs", "detail": detail, "allowed": allowed}]
    if wanted.early_stopping == "median" and "eval_interval_steps" not in wanted.training:
        detail = "early_stopping is 'median', but trials are not evaluated on the way"
        allowed = "training.eval_interval_steps, or early_stopping 'none'"
        return [{"pointer": "/early_stopping", "detail": detail, "allowed": allowed}]
    for number in range(min(size or 0, MOST_TRIALS)):
        values = wanted.combination(number)
        try:
            _read(wanted.training | values, "/knobs", f"With {values}")
        except InvalidRequest as error:
            return [each | {"pointer": "/knobs", "detail": str(error)} for each in error.errors[:1]]
    return []


def _read(body: dict[str, Any], pointer: str, where: str) -> None:
    """Read a training's body as ``POST /train`` does; its errors get `pointer` before theirs."""
    try:
        validate(json.dumps(body).encode(), body, TrainingRequest)
    except InvalidRequest as error:
        inside = [each | {"pointer": f"{pointer}{each['pointer']}"} for each in error.errors]
        raise InvalidRequest(detail=f"{where}: {error}", errors=inside) from None
