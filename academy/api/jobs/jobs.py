"""``/jobs``: every kind of job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from academy.access.keys import Role
from academy.api.jobs.jobs_shapes import (
    JobHistory,
    JobMoved,
    JobsPage,
    JobsQuery,
    JobStatus,
    JobSubmission,
    JobSubmitted,
    KindList,
    job_body,
    kind_body,
    status_body,
)
from academy.events.closing import try_to_close_events
from academy.events.history import last_lines
from academy.jobs import kinds
from academy.lifecycle import TERMINAL, Status
from academy.store.engine import Session
from academy.store.jobs import jobs, slots, transitions
from academy.store.jobs.tables import Job
from academy.web.declarations import refuses
from academy.web.idempotency import Answer, creates, idempotent, publish_hints
from academy.web.paging import page_of
from academy.web.permissions import allows, principal
from academy.web.state import state

blueprint = APIBlueprint("jobs", __name__, tag="Jobs")


@blueprint.get("/jobs")
@allows(Role.VIEWER)
@blueprint.input(JobsQuery, location="query", arg_name="query")
@blueprint.output(JobsPage)
def list_jobs(query: JobsQuery) -> Response:
    """All jobs, newest first."""
    with state().reading() as session:
        page = page_of(
            query,
            lambda limit, after: jobs.page(
                session,
                limit=limit,
                after=after,
                status=query.status,
                kind=query.kind,
                role=query.role,
            ),
        )
    return page.answer(JobsPage, "jobs", lambda job: job_body(job, state().settings))


@blueprint.post("/jobs")
@allows(Role.OPERATOR)
@creates
@blueprint.input(JobSubmission, arg_name="wanted")
@blueprint.output(JobSubmitted, status_code=202)
def submit_job(wanted: JobSubmission) -> Response:
    """Queue a job of any kind; ``/train`` and ``/dataset`` are the ways of two of them."""

    def work(session: Session) -> Answer:
        job = kinds.submit(session, state().settings, wanted.kind, wanted.request, principal().name)
        body = {
            "success": True,
            "message": "Job queued",
            "job_id": job.id,
            "kind": job.kind,
            "status": job.status,
        }
        return Answer(body, 202, {"Location": f"/api/v1/academy/jobs/{job.id}/status"})

    answer = idempotent(work)
    publish_hints()
    return answer.response()


@blueprint.get("/jobs/kinds")
@allows(Role.VIEWER)
@blueprint.output(KindList)
def list_kinds() -> dict[str, Any]:
    """The kinds of jobs, and what the request of each may be."""
    found = [
        {
            **kind_body(kind),
            "can_tell_new": kind.nothing_new is not None,
            "request": kind.request.model_json_schema(),
        }
        for kind in kinds.every()
    ]
    return {"count": len(found), "kinds": found}


@blueprint.get("/jobs/<job_id>")
@allows(Role.VIEWER)
@blueprint.output(JobStatus)
def show_job(job_id: str) -> dict[str, Any]:
    """One job of any kind, as ``/train/{id}/status`` shows it."""
    return status_of(job_id)


@blueprint.get("/jobs/<job_id>/status")
@allows(Role.VIEWER)
@blueprint.output(JobStatus)
def job_status(job_id: str) -> dict[str, Any]:
    """Where a job is: state, progress, figures, the last log lines, and why it failed."""
    return status_of(job_id)


@blueprint.delete("/jobs/<job_id>")
@allows(Role.OPERATOR)
@refuses(409)
@blueprint.output(JobMoved)
def cancel_job(job_id: str) -> dict[str, Any]:
    """Cancel a job; answers at once with the state that it has reached."""
    job = cancelled(job_id)
    over = job.status == Status.CANCELLED
    return moved(job, "Job cancelled" if over else "Job is being cancelled: its worker was asked")


@blueprint.post("/jobs/<job_id>/pause")
@allows(Role.OPERATOR)
@refuses(409)
@blueprint.output(JobMoved)
def pause_job(job_id: str) -> dict[str, Any]:
    """Pause a job, if its kind can be; a running training writes a checkpoint first."""
    return paused(job_id)


@blueprint.post("/jobs/<job_id>/resume")
@allows(Role.OPERATOR)
@refuses(409)
@blueprint.output(JobMoved)
def resume_job(job_id: str) -> dict[str, Any]:
    """Let a paused job go on, from its checkpoint if it has one."""
    return resumed(job_id)


@blueprint.get("/jobs/<job_id>/transitions")
@allows(Role.VIEWER)
@blueprint.output(JobHistory)
def job_transitions(job_id: str) -> dict[str, Any]:
    """Every change of a job's status, with its reason, oldest first."""
    with state().reading() as session:
        jobs.get(session, job_id)
        return {"job_id": job_id, "transitions": jobs.transitions(session, job_id)}


def status_of(job_id: str) -> dict[str, Any]:
    """The fields of `JobStatus` of the job; raises `NotFound`."""
    with state().reading() as session:
        job = jobs.get(session, job_id)
        obstacle = slots.why_waiting(session, job, state().settings.jobs.lease_seconds)
    tail = last_lines(state().events, job)
    return status_body(job, state().settings, tail.lines, tail.last_event_id, obstacle)


def cancelled(job_id: str) -> Job:
    """The job after a request to cancel it; its watchers are told if that ended it."""
    job = _move(job_id, transitions.request_cancel)
    if job.status in TERMINAL:
        try_to_close_events(state().sessions, state().redis, job.id)
    return job


def paused(job_id: str) -> dict[str, Any]:
    """The fields of `JobMoved` after a request to pause a job."""
    job = _move(job_id, kinds.pause)
    done = job.status == Status.PAUSED
    return moved(job, "Job paused" if done else "Job pauses after its next checkpoint")


def resumed(job_id: str) -> dict[str, Any]:
    """The fields of `JobMoved` after a request to resume a job."""
    job = _move(job_id, transitions.request_resume)
    publish_hints()
    return moved(job, "Job queued again; it goes on from its last checkpoint")


def moved(job: Job, message: str) -> dict[str, Any]:
    """The fields of `JobMoved`."""
    return {"success": True, "message": message, "job_id": job.id, "status": job.status}


def _move(job_id: str, transition: Callable[[Session, str], Job]) -> Job:
    with state().sessions.begin() as session:
        return transition(session, job_id)
