"""``/train``: starting a training and steering it."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from academy.access.keys import Role
from academy.api.jobs.jobs import cancelled, moved, paused, resumed, status_of
from academy.api.jobs.jobs_shapes import (
    CheckpointList,
    JobMoved,
    JobStatus,
    MetricsQuery,
    Series,
    TrainingStarted,
)
from academy.api.jobs.metrics import also_as_csv, figures_of
from academy.events.history import checkpoints
from academy.lifecycle import JobKind, Status
from academy.store.engine import Session
from academy.store.jobs import jobs
from academy.store.jobs.tables import Job
from academy.training.request import TrainingRequest
from academy.web.declarations import refuses
from academy.web.idempotency import Answer, creates, idempotent, publish_hints
from academy.web.permissions import allows, principal
from academy.web.state import state

blueprint = APIBlueprint("training", __name__, tag="Training")

_CANCEL_MESSAGES = {
    Status.CANCELLED: "Training job cancelled",
    Status.CANCELLING: "Training job is being cancelled: its worker was asked to stop",
}


@blueprint.post("/train")
@allows(Role.OPERATOR)
@creates
@blueprint.input(TrainingRequest, arg_name="wanted")
@blueprint.output(TrainingStarted, status_code=202)
def start_training(wanted: TrainingRequest) -> Response:
    """Queue a training; a GPU worker takes it as soon as one is free."""
    from academy.training.submission import submit_training

    def work(session: Session) -> Answer:
        job = submit_training(session, state().settings, wanted, principal().name)
        body = {
            "success": True,
            "job_id": job.id,
            "message": "Training started successfully",
            "status": job.status,
            "parameters": job.parameters,
            "dataset_id": job.dataset_id,
            "base_model": job.base_model,
        }
        return Answer(body, 202, {"Location": f"/api/v1/academy/train/{job.id}/status"})

    answer = idempotent(work)
    publish_hints()
    return answer.response()


@blueprint.get("/train/<job_id>/status")
@allows(Role.VIEWER)
@blueprint.output(JobStatus)
def training_status(job_id: str) -> dict[str, Any]:
    """Where a job is: state, progress, figures, the last log lines, and why it failed."""
    return status_of(job_id)


@blueprint.delete("/train/<job_id>")
@allows(Role.OPERATOR)
@refuses(409)
@blueprint.output(JobMoved)
def cancel_training(job_id: str) -> dict[str, Any]:
    """Cancel a job; answers at once with the state that it has reached."""
    job = cancelled(job_id)
    return moved(job, _CANCEL_MESSAGES[Status(job.status)])


@blueprint.post("/train/<job_id>/pause")
@allows(Role.OPERATOR)
@refuses(409)
@blueprint.output(JobMoved)
def pause_training(job_id: str) -> dict[str, Any]:
    """Pause a job; a running one writes a checkpoint first."""
    return paused(job_id)


@blueprint.post("/train/<job_id>/resume")
@allows(Role.OPERATOR)
@refuses(409)
@blueprint.output(JobMoved)
def resume_training(job_id: str) -> dict[str, Any]:
    """Let a paused job go on from its checkpoint."""
    return resumed(job_id)


@blueprint.get("/train/<job_id>/metrics")
@allows(Role.VIEWER)
@blueprint.input(MetricsQuery, location="query", arg_name="query")
@also_as_csv
@blueprint.output(Series)
def training_metrics(job_id: str, query: MetricsQuery) -> Any:
    """The figures of a training over its steps, as ``/jobs/{id}/metrics`` gives them."""
    _require_training(job_id)
    return figures_of(job_id, query)


@blueprint.get("/train/<job_id>/checkpoints")
@allows(Role.VIEWER)
@blueprint.output(CheckpointList)
def training_checkpoints(job_id: str) -> dict[str, Any]:
    """The checkpoints that a training wrote, with their digests."""
    job = _require_training(job_id)
    return {
        "job_id": job_id,
        "checkpoints": checkpoints(state().events, job_id),
        "latest": job.checkpoint,
    }


def _require_training(job_id: str) -> Job:
    with state().reading() as session:
        return jobs.get(session, job_id, JobKind.TRAINING)
