"""The one place that changes a job's status.

Each transition is a named function. It issues one guarded UPDATE (id, expected status and, for an
owner, the fence) and writes the transition row and, where the job becomes queued, the hint in the
same transaction. Zero rows updated means that the caller is stale: `StaleFence` for an owner,
`Conflict` for a client.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, insert, select
from sqlalchemy.orm import Session, make_transient_to_detached

from academy.errors import Conflict, NotFound, StaleFence, failure_body
from academy.lifecycle import (
    ALLOWED,
    HELD,
    RETRIED,
    TERMINAL,
    FailureCode,
    JobKind,
    Reason,
    Status,
)
from academy.store.base import from_now, now
from academy.store.jobs import fair_share
from academy.store.jobs.slots import Offer, grant, seat
from academy.store.jobs.statements import (
    CLAIM,
    CLAIM_WIDE,
    FINISH,
    RELEASED,
    START,
    moving,
    submitting,
)
from academy.store.jobs.tables import Hint, Job, JobTransition

#: A moved job is read anew where the session knew it before.
_FRESH = {"populate_existing": True}
_KNOWN_KINDS = tuple(str(kind) for kind in JobKind)


@dataclass(frozen=True)
class Claim:
    """A job held by this worker under a fence; every write for the job carries it."""

    job_id: str
    fence: int
    attempt: int
    worker_id: str


@dataclass(frozen=True)
class Failure:
    """Why a job failed and what to do: a published code, a cause, a next step."""

    code: FailureCode
    message: str
    next_step: str

    def body(self) -> dict[str, str]:
        """As transitions and members' rows keep it; see `failure_body`."""
        return failure_body(self.code, self.message, self.next_step)


def submit(session: Session, job: Job) -> None:
    """Insert a job as queued, with its first transition and its hint, by one statement."""
    job.status = Status.QUEUED
    session.execute(*submitting(job))
    # The job is the session's now; what the database filled in is read when somebody asks.
    make_transient_to_detached(job)
    session.add(job)


def claim(
    session: Session,
    queue: str,
    worker_id: str,
    lease_seconds: float,
    offer: Offer | None = None,
    revision: str | None = None,
    kinds: Sequence[str] = _KNOWN_KINDS,
) -> Job | None:
    """Take the best queued job of `queue` under a new fence and lease; None if there is none.

    Highest priority first, then the share that got least for its weight, then age; see
    `academy.store.jobs.fair_share`. Rows that another worker is claiming are skipped. A worker with
    GPUs makes an `offer`; the job gets as many of its host's free devices as it asks for, or is
    passed over (`academy.store.jobs.slots`). A job of several hosts gives idle workers of others
    their parts in the same transaction (`academy.store.jobs.gangs`). With `revision` nothing is
    claimed unless the schema is at that revision at this moment, and jobs of other kinds than
    `kinds`, those that this version knows, are left to workers that know them.
    """
    granted = grant(session, queue, worker_id, offer or Offer(), kinds)
    if granted is None:
        return None
    given = {
        "worker": worker_id,
        "lease": lease_seconds,
        "revision": revision,
        "granted": list(granted.devices),
    }
    eligible = fair_share.parameters(queue, kinds, granted.eligibility)
    taken = session.scalars(CLAIM, {**given, **eligible}, execution_options=_FRESH).one_or_none()
    if taken is None and granted.wide_job_id is not None:
        wide = {**given, "wide_job_id": granted.wide_job_id}
        taken = session.scalars(CLAIM_WIDE, wide, execution_options=_FRESH).one_or_none()
        if taken is not None:
            seat(session, taken, granted.seats, lease_seconds)
    return taken


def start(session: Session, held: Claim) -> None:
    """Preparing to running: the worker's process reports work. One statement."""
    _move_held(session, held, START)


def finish(session: Session, held: Claim, result: dict[str, Any]) -> None:
    """To finished, with the result. A cancel that was requested before wins: `StaleFence`."""
    _move_held(session, held, FINISH, result=result)


def is_recorded(session: Session, held: Claim, to: Status) -> bool:
    """Whether this owner has moved its job to `to`; it may not know, if the answer was lost."""
    return (
        session.scalar(
            select(JobTransition.id).where(
                JobTransition.job_id == held.job_id,
                JobTransition.fence == held.fence,
                JobTransition.worker_id == held.worker_id,
                JobTransition.to_status == to,
            )
        )
        is not None
    )


def fail_or_retry(
    session: Session,
    held: Claim,
    failure: Failure,
    *,
    max_crashes: int,
    retry_seconds: float,
) -> Status:
    """What becomes of a job whose attempt failed; the new status.

    An infrastructure failure goes back to the queue after a back-off until `max_crashes` attempts
    in a row made no checkpoint progress; anything else fails at once. A cancel that was requested
    meanwhile makes it cancelled.
    """
    job = _locked(session, held.job_id)
    _require_held(job, held)
    if job.status == Status.CANCELLING:
        return stopped(session, held)
    crashes = job.crashes + 1
    if failure.code not in RETRIED:
        _fail(session, job, failure, Reason.ERROR)
    elif crashes >= max_crashes:
        _fail(session, job, failure, Reason.CRASHED_TOO_OFTEN, crashes=crashes)
    elif job.status == Status.PAUSING:
        _move(session, job, Status.PAUSED, Reason.PAUSE_DONE, crashes=crashes, **RELEASED)
    else:
        _requeue(session, job, Reason.RETRY, crashes, retry_seconds, failure.body())
    return Status(job.status)


def stopped(
    session: Session, held: Claim, why: Failure | None = None, retry_seconds: float = 0.0
) -> Status:
    """The worker stopped its process as it was asked: cancelled, paused, or queued by a drain.

    No crash is counted. With `why` something else kept the work from beginning; the job then waits
    for about `retry_seconds` before it is claimed again.
    """
    job = _locked(session, held.job_id)
    _require_held(job, held)
    if job.status == Status.CANCELLING:
        _move(session, job, Status.CANCELLED, Reason.CANCEL_DONE, finished_at=now(), **RELEASED)
    elif job.status == Status.PAUSING:
        _move(session, job, Status.PAUSED, Reason.PAUSE_DONE, **RELEASED)
    else:
        detail = None if why is None else why.body()
        _requeue(session, job, Reason.DRAINED, job.crashes, retry_seconds, detail)
    return Status(job.status)


def request_cancel(session: Session, job_id: str) -> Job:
    """A client's cancel: at once if nobody holds the job, else its worker is asked to stop.

    Raises `NotFound`, or `Conflict` for a job that is over.
    """
    job = _locked(session, job_id)
    if job.status in TERMINAL:
        raise Conflict(detail=f"Job {job_id} is already {job.status}; it cannot be cancelled.")
    if job.status in {Status.QUEUED, Status.PAUSED}:
        _move(session, job, Status.CANCELLED, Reason.CANCEL_REQUESTED, finished_at=now())
    elif job.status != Status.CANCELLING:
        _move(session, job, Status.CANCELLING, Reason.CANCEL_REQUESTED)
    return job


def request_pause(session: Session, job_id: str) -> Job:
    """A client's pause: at once if queued, else the worker writes a checkpoint first."""
    job = _locked(session, job_id)
    if job.status == Status.QUEUED:
        _move(session, job, Status.PAUSED, Reason.PAUSE_REQUESTED)
    elif job.status in {Status.PREPARING, Status.RUNNING}:
        _move(session, job, Status.PAUSING, Reason.PAUSE_REQUESTED)
    elif job.status not in {Status.PAUSING, Status.PAUSED}:
        raise Conflict(detail=f"Job {job_id} is {job.status}; only a live job can be paused.")
    return job


def request_resume(session: Session, job_id: str) -> Job:
    """A client's resume: a paused job goes back to the queue and continues its checkpoint."""
    job = _locked(session, job_id)
    if job.status != Status.PAUSED:
        raise Conflict(detail=f"Job {job_id} is {job.status}; only a paused job can be resumed.")
    _requeue(session, job, Reason.RESUMED, job.crashes, 0.0, None)
    return job


def reap(session: Session, *, max_crashes: int, retry_seconds: float, limit: int = 100) -> int:
    """Take the jobs whose lease ran out away from their workers; how many."""
    expired = session.scalars(
        select(Job)
        .where(Job.lease_expires_at < now())
        .order_by(Job.lease_expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True),
        execution_options=_FRESH,
    ).all()
    for job in expired:
        lost = Failure(
            FailureCode.WORKER_LOST,
            f"The worker {job.worker_id} was not heard of in time ({job.crashes + 1} times"
            " in a row without checkpoint progress).",
            "Look into that worker's log; submit the job again when the host is well.",
        )
        crashes = job.crashes + 1
        if job.status == Status.CANCELLING:
            _move(
                session,
                job,
                Status.CANCELLED,
                Reason.CANCEL_ORPHANED,
                finished_at=now(),
                **RELEASED,
            )
        elif crashes >= max_crashes:
            _fail(session, job, lost, Reason.CRASHED_TOO_OFTEN, crashes=crashes)
        elif job.status == Status.PAUSING:
            _move(session, job, Status.PAUSED, Reason.LEASE_LOST, crashes=crashes, **RELEASED)
        else:
            _requeue(session, job, Reason.LEASE_LOST, crashes, retry_seconds, lost.body())
    return len(expired)


def _requeue(
    session: Session,
    job: Job,
    reason: Reason,
    crashes: int,
    retry_seconds: float,
    detail: dict[str, Any] | None,
) -> None:
    # The back-off doubles with each crash; jitter keeps a fleet from coming back in step.
    wait = retry_seconds * 2 ** max(0, crashes - 1) * random.uniform(0.75, 1.25)
    _move(
        session,
        job,
        Status.QUEUED,
        reason,
        detail=detail,
        crashes=crashes,
        not_before=from_now(wait),
        **RELEASED,
    )
    session.execute(insert(Hint).values(job_id=job.id, queue=job.queue))


def _fail(session: Session, job: Job, failure: Failure, reason: Reason, **values: Any) -> None:
    _move(
        session,
        job,
        Status.FAILED,
        reason,
        detail=failure.body(),
        failure_code=failure.code,
        failure_message=failure.message,
        failure_next_step=failure.next_step,
        finished_at=now(),
        **values,
        **RELEASED,
    )


def _move_held(session: Session, held: Claim, statement: Select[str], **given: Any) -> None:
    parameters = {"job_id": held.job_id, "job_fence": held.fence, **given}
    if session.scalars(statement, parameters).one_or_none() is None:
        raise StaleFence(job_id=held.job_id, fence=held.fence)


def _move(
    session: Session,
    job: Job,
    to: Status,
    reason: Reason,
    *,
    detail: dict[str, Any] | None = None,
    **values: Any,
) -> None:
    before = Status(job.status)
    if to not in ALLOWED[before]:
        raise Conflict(detail=f"Job {job.id} is {before}; it cannot become {to}.")
    moved = session.scalars(
        moving({before}, to, reason, detail, **values),
        {"job_id": job.id, "job_fence": job.fence},
        execution_options=_FRESH,
    ).one_or_none()
    if moved is None:
        raise StaleFence(job_id=job.id, fence=job.fence)


def _locked(session: Session, job_id: str) -> Job:
    # Rows that refer to the job do not wait for this lock, nor it for a frozen writer of events.
    job = session.get(Job, job_id, with_for_update={"key_share": True}, populate_existing=True)
    if job is None:
        raise NotFound(noun="job", id=job_id)
    return job


def _require_held(job: Job, held: Claim) -> None:
    if job.fence != held.fence or job.status not in HELD:
        raise StaleFence(job_id=held.job_id, fence=held.fence)
