"""The archive in Postgres: everything that was ever said about a job, compressed."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Sequence

from academy.events import figures
from academy.events.event import Event, EventId
from academy.store import event_chunks
from academy.store.engine import Session

#: Events in a chunk at most.
CHUNK = 1000


def append(session: Session, job_id: str, events: Sequence[Event]) -> None:
    """Store events, in order, in chunks of one attempt each; figures also apart from the rest."""
    for attempt, group in itertools.groupby(events, key=lambda event: event.id.attempt):
        run = list(group)
        figures.store(session, job_id, run)
        for start in range(0, len(run), CHUNK):
            part = run[start : start + CHUNK]
            lines = "\n".join(event.to_json() for event in part)
            event_chunks.append(
                session,
                job_id,
                attempt,
                part[0].id.seq,
                part[-1].id.seq,
                zlib.compress(lines.encode()),
            )


def read(session: Session, job_id: str, after: EventId, count: int) -> list[Event]:
    """Up to `count` events after `after`, in order; overlapping chunks give each event once."""
    found: list[Event] = []
    last = after
    for chunk in event_chunks.after(session, job_id, after.attempt, after.seq):
        for line in zlib.decompress(chunk.data).split(b"\n"):
            event = Event.from_json(line)
            if event.id > last:
                found.append(event)
                last = event.id
        if len(found) >= count:
            break
    return found[:count]


def last_id(session: Session, job_id: str, before_attempt: int | None = None) -> EventId:
    """The id of the last archived event, of earlier attempts only if one is named; or ``0-0``."""
    return EventId(*event_chunks.last(session, job_id, before_attempt))
