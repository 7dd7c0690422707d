"""The archive: everything that was ever said about a job, compressed.

While a job goes on it lies in Postgres, and later all but its end in the artifact store (`moving`).
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence

from academy.events import figures
from academy.events.event import Event, EventId, logged_bytes
from academy.events.objects import LogObjects
from academy.store.engine import Session, Sessions, autocommit
from academy.store.events import chunks
from academy.store.events.chunks import Elsewhere, Inline, Run, Span, Stored

#: Events in a chunk at most.
CHUNK = 1000
#: Chunks that are fetched at once: the client of PostgreSQL holds a whole answer in memory.
_AT_ONCE = 4


def store(
    sessions: Sessions,
    batches: Iterable[tuple[str, Sequence[Event]]],
    closed: Collection[str] = (),
) -> None:
    """Store events of several jobs in one transaction, and remember that those `closed` have all.

    Raises `StoreError`; then nothing was stored.
    """
    batches = list(batches)
    made = [run for job_id, events in batches for run in runs(job_id, events)]
    if not any(figures.of(events) for _, events in batches):
        with autocommit(sessions) as session:
            chunks.append(session, made, closed)
        return
    with sessions.begin() as session:
        for job_id, events in batches:
            _store_figures(session, job_id, events)
        chunks.append(session, made, closed)


def append(session: Session, job_id: str, events: Sequence[Event]) -> None:
    """Store events, in order, in chunks of one attempt each; figures also apart from the rest."""
    _store_figures(session, job_id, events)
    chunks.append(session, list(runs(job_id, events)))


def read(
    session: Session, objects: LogObjects, job_id: str, after: EventId, count: int
) -> list[Event]:
    """Up to `count` events after `after`, in order; overlapping chunks give each event once.

    Raises `StorageFailure` if those that were moved cannot be read.
    """
    found: list[Event] = []
    last = after
    while len(found) < count:
        part = chunks.after(session, job_id, last.attempt, last.seq, _AT_ONCE)
        for text in _texts(objects, part):
            for event in _events(text):
                if event.id > last:
                    found.append(event)
                    last = event.id
            if len(found) >= count:
                break
        if len(part) < _AT_ONCE:
            break
    return found[:count]


def last_event(session: Session, job_id: str) -> Event | None:
    """The last archived event, which is never moved; None if there is none."""
    data = chunks.newest(session, job_id)
    return None if data is None else list(_events(zlib.decompress(data)))[-1]


def last_id(session: Session, job_id: str, before_attempt: int | None = None) -> EventId:
    """The id of the last archived event, of earlier attempts only if one is named; or ``0-0``."""
    return EventId(*chunks.last(session, job_id, before_attempt))


def keep_only_the_end(session: Session, job_id: str) -> None:
    """Remove the log of a job that is over, but for its last event, which says how it ended.

    Who reads it is told that what came before is gone. The figures stay.
    """
    end = last_event(session, job_id)
    chunks.keep_only(session, job_id, list(runs(job_id, [end] if end else [])))


def _store_figures(session: Session, job_id: str, events: Sequence[Event]) -> None:
    for run in _attempts(events):
        figures.store(session, job_id, run)


def runs(job_id: str, events: Sequence[Event]) -> Iterator[Run]:
    """The events as runs of one attempt each, and at most `CHUNK` events."""
    for part in parts(events):
        yield Run(job_id, *span(part), zlib.compress(lines(part)))


def span(part: Sequence[Event]) -> Span:
    """What a run of these events has, in order and of one attempt."""
    first, last = part[0].id, part[-1].id
    logged = sum(logged_bytes(event.fields) for event in part if event.type == "log")
    return Span(first.attempt, first.seq, last.seq, logged)


def parts(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """The events in lots of one attempt each, and at most `CHUNK` events."""
    for run in _attempts(events):
        for start in range(0, len(run), CHUNK):
            yield run[start : start + CHUNK]


def lines(events: Sequence[Event]) -> bytes:
    """The events as JSON lines, without the line end of the last one."""
    return b"\n".join(event.line for event in events)


def _texts(objects: LogObjects, part: Sequence[Stored]) -> Iterator[bytes]:
    """The lines of each run, read from wherever it lies; several that lie together at once."""
    for _, group in itertools.groupby(part, key=type):
        places: list[Elsewhere] = []
        for each in group:
            if isinstance(each, Inline):
                yield zlib.decompress(each.data)
            else:
                places.append(each)
        yield from objects.read(places)


def _events(text: bytes) -> Iterator[Event]:
    for line in text.splitlines():
        yield Event.from_json(line)


def _attempts(events: Sequence[Event]) -> Iterator[list[Event]]:
    for _, group in itertools.groupby(events, key=lambda event: event.id.attempt):
        yield list(group)
