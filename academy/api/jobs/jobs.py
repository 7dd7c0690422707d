"""``/jobs``: every kind of job."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from academy.access.keys import Role
from academy.api.jobs.jobs_shapes import (
    JobHistory,
    JobsPage,
    JobsQuery,
    JobStatus,
    job_body,
    status_body,
)
from academy.events.history import last_lines
from academy.store.jobs import jobs, slots
from academy.web.paging import page_of
from academy.web.permissions import allows
from academy.web.state import state

blueprint = APIBlueprint("jobs", __name__, tag="Jobs")


@blueprint.get("/jobs")
@allows(Role.VIEWER)
@blueprint.input(JobsQuery, location="query", arg_name="query")
@blueprint.output(JobsPage)
def list_jobs(query: JobsQuery) -> Response:
    """All jobs, newest first."""
    with state().sessions() as session:
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


@blueprint.get("/jobs/<job_id>")
@allows(Role.VIEWER)
@blueprint.output(JobStatus)
def show_job(job_id: str) -> dict[str, Any]:
    """One job of any kind, as ``/train/{id}/status`` shows it."""
    with state().sessions() as session:
        job = jobs.get(session, job_id)
        obstacle = slots.why_waiting(session, job, state().settings.jobs.lease_seconds)
    tail = last_lines(state(), job)
    return status_body(job, state().settings, tail.lines, tail.last_event_id, obstacle)


@blueprint.get("/jobs/<job_id>/transitions")
@allows(Role.VIEWER)
@blueprint.output(JobHistory)
def job_transitions(job_id: str) -> dict[str, Any]:
    """Every change of a job's status, with its reason, oldest first."""
    with state().sessions() as session:
        jobs.get(session, job_id)
        return {"job_id": job_id, "transitions": jobs.transitions(session, job_id)}
