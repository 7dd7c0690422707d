"""The outbox: hints that wait for the broker. A hint is a message, never the job itself."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from academy.lifecycle import Status
from academy.store.base import Base, from_now, now
from academy.store.jobs.tables import Hint, Job

_HINTS = Base.metadata.tables[Hint.__tablename__]
_WAITING = (
    select(_HINTS.c.id)
    .join(Job, Job.id == _HINTS.c.job_id)
    .where(_HINTS.c.published_at.is_(None), Job.not_before <= now())
    .order_by(_HINTS.c.id)
    .limit(bindparam("most"))
    .with_for_update(of=_HINTS, skip_locked=True)
    .cte("waiting")
)
_TAKE = (
    update(_HINTS)
    .where(_HINTS.c.id == _WAITING.c.id)
    .values(published_at=now())
    .returning(_HINTS.c.queue)
)


def take_unpublished(session: Session, *, limit: int = 500) -> Counter[str]:
    """Mark the oldest hints that nobody published yet as published; how many of each queue.

    Others skip them.
    The hint of a job that waits out its back-off is left for later: a worker that got it now would
    find nothing to claim, and the job would wait until the hint counts as lost.
    """
    return Counter(session.scalars(_TAKE, {"most": limit}))


def claimable(session: Session, *, older_than_seconds: float) -> dict[str, int]:
    """How many queued jobs of each queue have been ready for so long that their hints may be lost.

    Counted to 1,000 a queue: hints name no particular job, so more would add nothing.
    """
    ready = (
        select(Job.queue)
        .where(
            Job.status == Status.QUEUED,
            Job.not_before <= from_now(-older_than_seconds),
            Job.created_at <= from_now(-older_than_seconds),
        )
        .limit(1000)
        .subquery()
    )
    return dict(session.execute(select(ready.c.queue, func.count()).group_by(ready.c.queue)).all())


def forget_published(session: Session, *, older_than_seconds: float) -> int:
    """Delete hints that did their duty; how many."""
    done = session.execute(
        delete(Hint).where(Hint.published_at < from_now(-older_than_seconds)).returning(Hint.id)
    )
    return len(done.all())
