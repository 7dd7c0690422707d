"""The archive of a job's events: compressed runs of JSON lines."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, text, tuple_
from sqlalchemy.orm import Session

from academy.store.base import from_now
from academy.store.events.tables import EventChunk
from academy.store.jobs.tables import Job


@dataclass(frozen=True)
class Run:
    """Consecutive events of one attempt: zlib over their JSON lines."""

    job_id: str
    attempt: int
    first_seq: int
    last_seq: int
    data: bytes


_APPEND = text("""
WITH appended AS (
    INSERT INTO event_chunks (job_id, attempt, first_seq, last_seq, data)
    SELECT * FROM unnest(
        cast(:job_ids AS text[]), cast(:attempts AS integer[]), cast(:firsts AS bigint[]),
        cast(:lasts AS bigint[]), cast(:data AS bytea[])
    ) ON CONFLICT (job_id, attempt, first_seq) DO UPDATE
        SET last_seq = excluded.last_seq, data = excluded.data
        WHERE excluded.last_seq > event_chunks.last_seq
)
UPDATE jobs SET events_closed_at = clock_timestamp()
WHERE id = ANY(cast(:closed AS text[])) AND events_closed_at IS NULL
""")


def append(session: Session, runs: Sequence[Run], closed: Collection[str] = ()) -> None:
    """Store runs of events, and remember that the jobs `closed` have all of theirs; one statement.

    A run that is there already (a repeated flush) stays, or gives way to a longer one: what a flush
    stored whose answer was lost comes again, with what was said meanwhile.
    """
    columns = {
        "job_ids": [run.job_id for run in runs],
        "attempts": [run.attempt for run in runs],
        "firsts": [run.first_seq for run in runs],
        "lasts": [run.last_seq for run in runs],
        "data": [run.data for run in runs],
    }
    session.execute(_APPEND, {**columns, "closed": sorted(closed)})


def after(
    session: Session, job_id: str, attempt: int, seq: int, count: int
) -> Sequence[EventChunk]:
    """The first `count` runs that hold events after (attempt, seq), in order."""
    query = (
        select(EventChunk)
        .where(
            EventChunk.job_id == job_id,
            tuple_(EventChunk.attempt, EventChunk.last_seq) > tuple_(attempt, seq),
        )
        .order_by(EventChunk.attempt, EventChunk.first_seq)
        .limit(count)
    )
    return session.scalars(query).all()


def last(session: Session, job_id: str, before_attempt: int | None = None) -> tuple[int, int]:
    """The (attempt, seq) of the last archived event, of earlier attempts only if one is named.

    (0, 0) if there is none.
    """
    query = select(EventChunk.attempt, EventChunk.last_seq).where(EventChunk.job_id == job_id)
    if before_attempt is not None:
        query = query.where(EventChunk.attempt < before_attempt)
    row = session.execute(
        query.order_by(EventChunk.attempt.desc(), EventChunk.last_seq.desc()).limit(1)
    ).first()
    return (row[0], row[1]) if row else (0, 0)


def outlived(session: Session, *, closed_before_seconds: float, most: int) -> Sequence[str]:
    """Jobs whose events were all archived so long ago, and of which more is there than an end."""
    return session.scalars(
        select(EventChunk.job_id)
        .join(Job, Job.id == EventChunk.job_id)
        .where(
            Job.events_closed_at < from_now(-closed_before_seconds),
            EventChunk.first_seq < EventChunk.last_seq,
        )
        .distinct()
        .limit(most)
    ).all()


def remove(session: Session, job_id: str) -> None:
    """Remove all runs of a job."""
    session.execute(delete(EventChunk).where(EventChunk.job_id == job_id))
