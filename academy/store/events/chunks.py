"""The archive of a job's events: compressed runs of JSON lines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from sqlalchemy import delete, func, literal_column, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from academy.store.base import from_now
from academy.store.events.tables import EventChunk, LogObject
from academy.store.jobs.tables import Job

#: The last events of a job that its table keeps when the others are moved: what a job's status
#: shows needs no artifact. The index of what is movable has the same number.
STAYING = 200


@dataclass(frozen=True)
class Run:
    """Consecutive events of one attempt: zlib over their JSON lines."""

    job_id: str
    attempt: int
    first_seq: int
    last_seq: int
    #: Bytes of the log's lines in it.
    logged: int
    data: bytes


@dataclass(frozen=True)
class Inline:
    """A stored run that the table has itself: zlib over its lines."""

    data: bytes


@dataclass(frozen=True)
class Elsewhere:
    """A stored run that lies in an artifact, `size` bytes from `start` on: gzip over its lines."""

    key: str
    start: int
    size: int


Stored = Inline | Elsewhere


class Span(NamedTuple):
    """Which events a stored run has, and how many bytes of lines."""

    attempt: int
    first_seq: int
    last_seq: int
    logged: int


class Member(NamedTuple):
    """A run in an artifact: `size` bytes from `start` on."""

    span: Span
    start: int
    size: int


_APPEND = text("""
WITH appended AS (
    INSERT INTO event_chunks (job_id, attempt, first_seq, last_seq, logged, data)
    SELECT * FROM unnest(
        cast(:job_ids AS text[]), cast(:attempts AS integer[]), cast(:firsts AS bigint[]),
        cast(:lasts AS bigint[]), cast(:logged AS bigint[]), cast(:data AS bytea[])
    ) ON CONFLICT (job_id, attempt, first_seq) DO UPDATE
        SET last_seq = excluded.last_seq, logged = excluded.logged, data = excluded.data,
            start = NULL, size = NULL, stays = false
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
        "logged": [run.logged for run in runs],
        "data": [run.data for run in runs],
    }
    session.execute(_APPEND, {**columns, "closed": sorted(closed)})


def after(session: Session, job_id: str, attempt: int, seq: int, count: int) -> Sequence[Stored]:
    """The first `count` runs that hold events after (attempt, seq), in order."""
    query = (
        select(EventChunk.data, LogObject.key, EventChunk.start, EventChunk.size)
        .outerjoin(LogObject, LogObject.job_id == EventChunk.job_id)
        .where(
            EventChunk.job_id == job_id,
            tuple_(EventChunk.attempt, EventChunk.last_seq) > tuple_(attempt, seq),
        )
        .order_by(EventChunk.attempt, EventChunk.first_seq)
        .limit(count)
    )
    rows: Iterable[Any] = session.execute(query)  # by the table's check, one or the other
    return [
        Inline(data) if data is not None else Elsewhere(key, start, size)
        for data, key, start, size in rows
    ]


def newest(session: Session, job_id: str) -> bytes | None:
    """The run with the last archived event of a job, which is never moved; None if none is."""
    return session.scalar(
        select(EventChunk.data)
        .where(EventChunk.job_id == job_id)
        .order_by(EventChunk.attempt.desc(), EventChunk.last_seq.desc())
        .limit(1)
    )


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


def logged(session: Session, job_id: str, before_attempt: int) -> int:
    """Bytes of the lines of earlier attempts."""
    total = select(func.coalesce(func.sum(EventChunk.logged), 0)).where(
        EventChunk.job_id == job_id, EventChunk.attempt < before_attempt
    )
    return int(session.scalar(total) or 0)


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


def movable(
    session: Session, *, closed_before_seconds: float, most: int, but: Collection[str] = ()
) -> Sequence[str]:
    """Jobs whose events were all archived so long ago, with runs that could lie elsewhere."""
    return session.scalars(
        select(EventChunk.job_id)
        .join(Job, Job.id == EventChunk.job_id)
        .where(
            Job.events_closed_at < from_now(-closed_before_seconds),
            Job.id.not_in(but),
            EventChunk.data.is_not(None),
            EventChunk.stays.is_(False),
            # As the index has it, and not a parameter: PostgreSQL has to see that it fits.
            EventChunk.last_seq > literal_column(str(STAYING)),
        )
        .distinct()
        .limit(most)
    ).all()


def spans(session: Session, job_id: str) -> list[Span]:
    """All runs of a job, in order."""
    query = (
        select(EventChunk.attempt, EventChunk.first_seq, EventChunk.last_seq, EventChunk.logged)
        .where(EventChunk.job_id == job_id)
        .order_by(EventChunk.attempt, EventChunk.first_seq)
    )
    return [Span(*row) for row in session.execute(query)]


def move(
    session: Session,
    job_id: str,
    known: Sequence[Span],
    key: str | None,
    members: Sequence[Member],
    staying: Sequence[Run],
) -> bool:
    """Replace a job's runs by members of an artifact (`key` is None if there are none), and others.

    False, and nothing is changed, if they are not those that are `known`: somebody else was first.
    """
    locked = select(Job.id).where(Job.id == job_id).with_for_update()
    if session.scalar(locked) is None or spans(session, job_id) != list(known):
        return False
    keep_only(session, job_id, staying)
    if key is not None:
        session.execute(insert(LogObject).values(job_id=job_id, key=key))
        session.execute(
            insert(EventChunk),
            [
                {"job_id": job_id, **span._asdict(), "start": start, "size": size}
                for span, start, size in members
            ],
        )
    return True


def keep_only(session: Session, job_id: str, staying: Sequence[Run]) -> None:
    """Remove all runs of a job, and that an artifact has some, but for these."""
    session.execute(delete(EventChunk).where(EventChunk.job_id == job_id))
    session.execute(delete(LogObject).where(LogObject.job_id == job_id))
    for run in staying:
        session.execute(insert(EventChunk).values(**asdict(run), stays=True))
