"""The archive in Postgres: everything that was ever said about a job, compressed."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence

from academy.events import figures
from academy.events.event import Event, EventId
from academy.store.engine import Session, Sessions, autocommit
from academy.store.events import chunks
from academy.store.events.chunks import Run

#: Events in a chunk at most.
CHUNK = 1000
#: Chunks that are fetched at once: the client of PostgreSQL holds a whole answer in memory.
_AT_ONCE = 4


def store(
    sessions: Sessions,
    parts: Iterable[tuple[str, Sequence[Event]]],
    closed: Collection[str] = (),
) -> None:
    """Store events of several jobs in one transaction, and remember that those `closed` have all.

    Raises `StoreError`; then nothing was stored.
    """
    parts = list(parts)
    runs = [run for job_id, events in parts for run in _runs(job_id, events)]
    if not any(figures.of(events) for _, events in parts):
        with autocommit(sessions) as session:
            chunks.append(session, runs, closed)
        return
    with sessions.begin() as session:
        for job_id, events in parts:
            _store_figures(session, job_id, events)
        chunks.append(session, runs, closed)


def append(session: Session, job_id: str, events: Sequence[Event]) -> None:
    """Store events, in order, in chunks of one attempt each; figures also apart from the rest."""
    _store_figures(session, job_id, events)
    chunks.append(session, list(_runs(job_id, events)))


def read(session: Session, job_id: str, after: EventId, count: int) -> list[Event]:
    """Up to `count` events after `after`, in order; overlapping chunks give each event once."""
    found: list[Event] = []
    last = after
    while len(found) < count:
        part = chunks.after(session, job_id, last.attempt, last.seq, _AT_ONCE)
        for chunk in part:
            for line in zlib.decompress(chunk.data).split(b"\n"):
                event = Event.from_json(line)
                if event.id > last:
                    found.append(event)
                    last = event.id
            if len(found) >= count:
                break
        if len(part) < _AT_ONCE:
            break
    return found[:count]


def last_id(session: Session, job_id: str, before_attempt: int | None = None) -> EventId:
    """The id of the last archived event, of earlier attempts only if one is named; or ``0-0``."""
    return EventId(*chunks.last(session, job_id, before_attempt))


def keep_only_the_end(session: Session, job_id: str) -> None:
    """Remove the log of a job that is over, but for its last event, which says how it ended.

    Who reads it is told that what came before is gone. The figures stay.
    """
    last = last_id(session, job_id)
    end = read(session, job_id, EventId(last.attempt, max(0, last.seq - 1)), 1)
    chunks.remove(session, job_id)
    chunks.append(session, list(_runs(job_id, end)))


def _store_figures(session: Session, job_id: str, events: Sequence[Event]) -> None:
    for run in _attempts(events):
        figures.store(session, job_id, run)


def _runs(job_id: str, events: Sequence[Event]) -> Iterator[Run]:
    for run in _attempts(events):
        for start in range(0, len(run), CHUNK):
            part = run[start : start + CHUNK]
            lines = b"\n".join(event.line for event in part)
            first, last = part[0].id, part[-1].id
            yield Run(job_id, first.attempt, first.seq, last.seq, zlib.compress(lines))


def _attempts(events: Sequence[Event]) -> Iterator[list[Event]]:
    for _, group in itertools.groupby(events, key=lambda event: event.id.attempt):
        yield list(group)
