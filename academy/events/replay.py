"""Reading a job's events from wherever they are: the live stream, else the archive."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import redis

from academy.events import archive, stream
from academy.events.event import START, Event, EventId, timestamp
from academy.events.objects import LogObjects
from academy.store.engine import Sessions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """Events after a cursor, in order; `gap` says that some before them are missing for now."""

    events: list[Event]
    gap: bool = False


@dataclass(frozen=True)
class Connections:
    """What reading takes: the live streams, and the archive in both of its places."""

    sessions: Sessions
    redis: redis.Redis
    objects: LogObjects


def read(held: Connections, job_id: str, after: EventId = START, limit: int = 1000) -> Page:
    """Up to `limit` events strictly after `after`. Raises `StoreError` and `StorageFailure`.

    The stream answers alone where its first event directly follows the cursor. Where it does not
    (trimmed, flushed, another attempt, Redis away) the archive is asked first.
    """
    live: list[Event] = []
    try:
        live = stream.read(held.redis, job_id, after, limit)
    except redis.RedisError as error:
        log.warning("the live stream cannot be read: %s", error, extra={"job_id": job_id})
    if live and after.is_followed_by(live[0].id):
        return Page(_without_gap(live))
    with held.sessions() as session:
        archived = archive.read(session, held.objects, job_id, after, limit)
    if archived:
        return Page(_with_gaps_told(after, archived))
    starts_afresh = bool(live) and live[0].id.seq == 1
    return Page(_without_gap(live), gap=bool(live) and not starts_afresh)


def read_all(held: Connections, job_id: str, after: EventId = START) -> list[Event]:
    """Every event after `after` that there is now."""
    found: list[Event] = []
    while True:
        page = read(held, job_id, found[-1].id if found else after)
        if not page.events:
            return found
        found.extend(page.events)


def truncated(after: EventId, before: EventId) -> Event:
    """Stands in for events between the two that are gone for good."""
    last = EventId(before.attempt, max(0, before.seq - 1))
    return Event(max(after, last), "truncated", timestamp(), {"after": str(after)})


def _with_gaps_told(after: EventId, archived: list[Event]) -> list[Event]:
    """Events of the archive, and where it lacks some before others of the same attempt, that.

    It gets an attempt's events in their order, so what it lacks there will not come any more.
    """
    found: list[Event] = []
    for event in archived:
        is_first = event.id.seq == 1 and event.id.attempt > after.attempt
        if not is_first and not after.is_followed_by(event.id):
            found.append(truncated(after, event.id))
        found.append(event)
        after = event.id
    return found


def _without_gap(events: list[Event]) -> list[Event]:
    """The events up to the first hole: what is behind it is read again with its own cursor."""
    for index in range(1, len(events)):
        if not events[index - 1].id.is_followed_by(events[index].id):
            return events[:index]
    return events
