"""Reading jobs. What changes a status is in `academy.store.jobs.transitions`."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from academy.errors import NotFound
from academy.lifecycle import TERMINAL, JobKind, Status
from academy.store.base import from_now, now
from academy.store.jobs.tables import Job, JobTransition
from academy.store.paging import newest_first

#: What does not change is made once: making a statement costs more than asking it.
_COUNTED = (Job.kind, Job.queue, Job.status)
_COUNTS = select(*_COUNTED, func.count()).group_by(*_COUNTED)


def new_id(kind: str) -> str:
    """An id such as ``training_20240101_120000_x7k2p9``: kind, UTC time, six random characters."""
    moment = datetime.now(UTC).strftime("%Y%m%d_%H%M%S")
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
    return f"{kind}_{moment}_{''.join(secrets.choice(alphabet) for _ in range(6))}"


def get(session: Session, job_id: str, kind: JobKind | None = None) -> Job:
    """The job; raises `NotFound`."""
    job = session.get(Job, job_id, populate_existing=True)
    if job is None or (kind is not None and job.kind != kind):
        raise NotFound(noun=f"{kind} job" if kind else "job", id=job_id)
    return job


def page(
    session: Session,
    *,
    limit: int,
    after: str | None = None,
    status: Status | None = None,
    kind: JobKind | None = None,
    role: str | None = None,
) -> list[Job]:
    """Jobs newest first, strictly after the job `after`; one more than `limit` if there is more."""
    query = newest_first(session, Job, "job", limit=limit, after=after)
    for column, value in ((Job.status, status), (Job.kind, kind), (Job.role, role)):
        if value is not None:
            query = query.where(column == value)
    return list(session.scalars(query))


def counts(session: Session, kind: JobKind | None = None) -> dict[str, int]:
    """How many jobs are in each status; a status without jobs is missing."""
    query = select(Job.status, func.count()).group_by(Job.status)
    if kind is not None:
        query = query.where(Job.kind == kind)
    return dict(session.execute(query).all())


def counts_by_kind(session: Session) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """As `counts`, for each kind that there are jobs of, and as `queue_depths`, in one look."""
    found: dict[str, dict[str, int]] = {}
    depths: dict[str, int] = {}
    for kind, queue, status, count in session.execute(_COUNTS):
        of_kind = found.setdefault(kind, {})
        of_kind[status] = of_kind.get(status, 0) + count
        if status == Status.QUEUED:
            depths[queue] = depths.get(queue, 0) + count
    return found, depths


def queue_depths(session: Session) -> dict[str, int]:
    """How many jobs wait in each queue."""
    query = select(Job.queue, func.count()).where(Job.status == Status.QUEUED).group_by(Job.queue)
    return dict(session.execute(query).all())


def transitions(session: Session, job_id: str) -> Sequence[JobTransition]:
    """A job's history, oldest first."""
    return session.scalars(
        select(JobTransition).where(JobTransition.job_id == job_id).order_by(JobTransition.id)
    ).all()


def with_open_events(
    session: Session, *, finished_before_seconds: float, limit: int = 100
) -> Sequence[Job]:
    """Jobs that are over, whose events nobody has archived to the end; locked for the caller."""
    return session.scalars(
        select(Job)
        .where(
            Job.status.in_(TERMINAL),
            Job.events_closed_at.is_(None),
            Job.finished_at < from_now(-finished_before_seconds),
        )
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()


def close_events(session: Session, job_id: str) -> None:
    """Remember that a job's events are in the archive to the end."""
    session.execute(
        update(Job)
        .where(Job.id == job_id, Job.events_closed_at.is_(None))
        .values(events_closed_at=now())
    )


def closed_streams(
    session: Session, *, closed_before_seconds: float, job_ids: Sequence[str]
) -> set[str]:
    """Those of `job_ids` whose events were archived so long ago that the stream can go."""
    return set(
        session.scalars(
            select(Job.id).where(
                Job.id.in_(job_ids), Job.events_closed_at < from_now(-closed_before_seconds)
            )
        )
    )


def finished_trainings(session: Session, base_model: str, *, limit: int) -> Sequence[Job]:
    """The latest trainings of a base model that succeeded, newest first."""
    return session.scalars(
        select(Job)
        .where(
            Job.kind == JobKind.TRAINING,
            Job.status == Status.FINISHED,
            Job.base_model == base_model,
        )
        .order_by(Job.created_at.desc())
        .limit(limit)
    ).all()


def is_over(session: Session, job_id: str) -> bool:
    """Whether the job has ended; one that was deleted has, too."""
    status = session.scalar(select(Job.status).where(Job.id == job_id))
    return status is None or status in TERMINAL


def training_on(session: Session, dataset_id: str, base_model: str, role: str | None) -> Job | None:
    """The latest training of the dataset for that model and role that has not come to nothing."""
    return session.scalars(
        select(Job)
        .where(
            Job.kind == JobKind.TRAINING,
            Job.dataset_id == dataset_id,
            Job.base_model == base_model,
            Job.role.is_not_distinct_from(role),
            Job.status.not_in({Status.FAILED, Status.CANCELLED}),
        )
        .order_by(Job.created_at.desc())
        .limit(1)
    ).first()


def last_training_time(session: Session) -> datetime | None:
    """When the latest training finished, if any has."""
    return session.scalar(
        select(func.max(Job.finished_at)).where(
            Job.kind == JobKind.TRAINING, Job.status == Status.FINISHED
        )
    )
