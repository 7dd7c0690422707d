"""Sweeps: what is shown of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from academy.api.jobs.jobs_shapes import Failure
from academy.events.closing import failure_of
from academy.lifecycle import Status
from academy.store.engine import Session
from academy.store.plans.sweep_tables import Sweep
from academy.store.plans.sweeps import Trial
from academy.sweeps.advance import loss_of, request_of, steps_of
from academy.web.shapes import Done, Shown

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
