"""The outbox: hints that wait for the broker. A hint is a message, never the job itself."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from academy.lifecycle import Status
from academy.store.base import from_now, now
from academy.store.tables import Hint, Job


def take_unpublished(session: Session, *, limit: int = 500) -> Sequence[Hint]:
    """The oldest hints that nobody published yet, locked; other publishers skip them.

    The hint of a job that waits out its back-off is left for later: a worker that got it now would
    find nothing to claim, and the job would wait until the hint counts as lost.
    """
    return session.scalars(
        select(Hint)
        .join(Job, Job.id == Hint.job_id)
        .where(Hint.published_at.is_(None), Job.not_before <= now())
        .order_by(Hint.id)
        .limit(limit)
        .with_for_update(of=Hint, skip_locked=True)
    ).all()


def mark_published(session: Session, ids: Sequence[int]) -> None:
    """Remember that the broker has these hints."""
    session.execute(update(Hint).where(Hint.id.in_(ids)).values(published_at=now()))


def claimable(session: Session, *, older_than_seconds: float) -> dict[str, list[str]]:
    """Queued jobs by queue that have been ready for so long that their hints may be lost.

    At most 1,000 a queue: hints name no particular job, so more would add nothing.
    """
    rows = session.execute(
        select(Job.queue, Job.id)
        .where(
            Job.status == Status.QUEUED,
            Job.not_before <= from_now(-older_than_seconds),
            Job.created_at <= from_now(-older_than_seconds),
        )
        .order_by(Job.priority.desc(), Job.created_at)
        .limit(1000)
    )
    ready: dict[str, list[str]] = {}
    for queue, job_id in rows:
        ready.setdefault(queue, []).append(job_id)
    return ready


def count_claimable(session: Session, queue: str) -> int:
    """How many jobs of `queue` a worker could claim now."""
    return int(
        session.scalar(
            select(func.count())
            .select_from(Job)
            .where(Job.queue == queue, Job.status == Status.QUEUED, Job.not_before <= now())
        )
        or 0
    )


def forget_published(session: Session, *, older_than_seconds: float) -> int:
    """Delete hints that did their duty; how many."""
    done = session.execute(
        delete(Hint).where(Hint.published_at < from_now(-older_than_seconds)).returning(Hint.id)
    )
    return len(done.all())
