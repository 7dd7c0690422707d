"""The archive of a job's events: compressed runs of JSON lines."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from academy.store.tables import EventChunk


def append(
    session: Session, job_id: str, attempt: int, first_seq: int, last_seq: int, data: bytes
) -> None:
    """Store a run of events; a run that is there already (a repeated flush) stays as it is."""
    session.execute(
        insert(EventChunk)
        .values(job_id=job_id, attempt=attempt, first_seq=first_seq, last_seq=last_seq, data=data)
        .on_conflict_do_nothing()
    )


def after(session: Session, job_id: str, attempt: int, seq: int) -> Iterator[EventChunk]:
    """The runs that hold events after (attempt, seq), in order."""
    query = (
        select(EventChunk)
        .where(
            EventChunk.job_id == job_id,
            tuple_(EventChunk.attempt, EventChunk.last_seq) > tuple_(attempt, seq),
        )
        .order_by(EventChunk.attempt, EventChunk.first_seq)
    )
    yield from session.scalars(query)


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
