"""``/dataset``: having a dataset made, and waiting for it a little."""

from __future__ import annotations

import re
import time
from typing import Any

from apiflask import APIBlueprint
from flask import Response, jsonify, request

from academy.access.keys import Role
from academy.api.data.datasets_shapes import CurationStarted, DatasetCurated
from academy.curation.request import CurationRequest
from academy.errors import InvalidRequest
from academy.lifecycle import TERMINAL, JobKind, Status
from academy.store.engine import Session
from academy.store.jobs import jobs
from academy.store.jobs.tables import Job
from academy.web.declarations import answers, reads_header, refuses
from academy.web.idempotency import Answer, creates, idempotent, publish_hints
from academy.web.permissions import allows, principal
from academy.web.problems import problem
from academy.web.state import state

blueprint = APIBlueprint("curation", __name__, tag="Datasets")

WAIT_SECONDS, LONGEST_WAIT_SECONDS = 25.0, 60.0
_POLL_SECONDS = 0.1

#: Declarations of the views that wait for a curation.
may_still_work = answers(
    202, "The curation goes on; ask the Location for its result.", CurationStarted
)
reads_wait = reads_header("Prefer", "'wait=N': how many seconds to wait, 0 to 60 (25 if left out)")


@blueprint.post("/dataset")
@allows(Role.OPERATOR)
@creates
@reads_wait
@may_still_work
@blueprint.input(CurationRequest, arg_name="wanted")
@blueprint.output(DatasetCurated)
def curate(wanted: CurationRequest) -> Response:
    """Make a dataset of lessons, git history and conversations.

    Waits as many seconds as ``Prefer: wait=N`` says (25 if it says nothing, at most 60). A dataset
    that is done by then is the answer; else the answer is 202 and the ``Location`` has it later.
    """
    from academy.curation.submission import submit_curation

    wait_seconds = preferred_wait()

    def work(session: Session) -> Answer:
        job = submit_curation(session, state().settings, wanted, principal().name)
        return Answer({"job_id": job.id}, 202)

    submitted = idempotent(work, writes_once=True)
    publish_hints()
    job_id = submitted.body["job_id"]
    if wait_seconds == 0 and not submitted.replayed:
        return _still_working(job_id, Status.QUEUED)
    answer = answer_of(wait_for(job_id, wait_seconds))
    if submitted.replayed:
        answer.headers["Idempotency-Replayed"] = "true"
    return answer


@blueprint.get("/dataset/<job_id>")
@allows(Role.VIEWER)
@may_still_work
@refuses(409, 422)
@blueprint.output(DatasetCurated)
def curation_result(job_id: str) -> Response:
    """What became of a curation: its dataset, 202 while it goes on, or why it failed."""
    with state().reading() as session:
        return answer_of(jobs.get(session, job_id, JobKind.CURATION))


def wait_for(job_id: str, seconds: float) -> Job:
    """The job once it is over, or as it is after so long; no connection is held meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        with state().reading() as session:
            job = jobs.get(session, job_id)
        if job.status in TERMINAL or time.monotonic() >= deadline:
            return job
        time.sleep(_POLL_SECONDS)


def answer_of(job: Job, made: int = 200, **more: Any) -> Response:
    """What to say of a curation: its dataset (with the status `made`), 202, or why it failed.

    `more` are further members of the first two.
    """
    if job.status == Status.FINISHED:
        answer = jsonify({**_curated(job), **more})
        answer.status_code = made
        return answer
    if job.status in {Status.FAILED, Status.CANCELLED}:
        refused = problem(
            422 if job.status == Status.FAILED else 409,
            job.failure_code or "cancelled",
            job.failure_message or f"The curation {job.id} was cancelled.",
            next_step=job.failure_next_step or "Send the request again if you want the dataset.",
        )
        refused.headers["Location"] = f"/api/v1/academy/train/{job.id}/status"
        return refused
    return _still_working(job.id, Status(job.status), **more)


def _still_working(job_id: str, status: Status, **more: Any) -> Response:
    started = CurationStarted(
        message="The curation goes on; ask the Location for its result",
        job_id=job_id,
        status=status,
    )
    answer = jsonify({**started.model_dump(mode="json"), **more})
    answer.status_code = 202
    answer.headers["Location"] = f"/api/v1/academy/dataset/{job_id}"
    answer.headers["Retry-After"] = "1"
    return answer


def _curated(job: Job) -> dict[str, Any]:
    result = job.result or {}
    statistics = result.get("statistics", {})
    return {
        "success": True,
        "dataset_path": result["dataset_path"],
        "statistics": statistics,
        "message": f"Dataset curated successfully: {statistics.get('total_examples', 0)} examples",
        "job_id": job.id,
        "dataset_id": result["dataset_id"],
    }


def preferred_wait() -> float:
    """The seconds of ``Prefer: wait=N`` (RFC 7240); raises `InvalidRequest` for no number."""
    for preference in re.split(r"[,;]", request.headers.get("Prefer", "")):
        name, separator, value = preference.partition("=")
        if name.strip().lower() != "wait":
            continue
        text = value.strip().strip('"')
        if not separator or not text.isdecimal():
            raise InvalidRequest(
                detail=f"Prefer says wait={text!r}, but that must be a whole number of seconds."
            )
        return min(float(text), LONGEST_WAIT_SECONDS)
    return WAIT_SECONDS
