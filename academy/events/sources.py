"""What a feed follows: the events of one job, wherever they lie."""

from __future__ import annotations

import logging
import time
from typing import Protocol

import redis

from academy.errors import AcademyError
from academy.events import archive, replay, stream
from academy.events.event import START, EventId
from academy.events.replay import Connections, Page
from academy.store.jobs import jobs

log = logging.getLogger(__name__)

#: Between two looks for events that may be on their way to the archive.
ASK_AGAIN_SECONDS = 0.05


class FutureCursor(AcademyError):
    """No event after {after} can be sent: the last one that there is is {newest}."""

    code = "cursor_from_the_future"
    status = 422
    next_step = "Send the id of the last event that you saw, or none to begin at the first."


class Source(Protocol):
    """Events in one order, each with an id; `Hub` reads them for all who watch.

    Every method may raise `StoreError`.
    """

    @property
    def name(self) -> str:
        """What no other source is called."""

    def newest(self) -> EventId:
        """The id of the last event that there is; `START` if there is none."""

    def read(self, after: EventId, count: int) -> Page:
        """Up to `count` events after `after`."""


class JobEvents:
    """The events of a job: its live stream, and its archive."""

    def __init__(self, held: Connections, job_id: str) -> None:
        self.job_id = job_id
        self._held = held

    @property
    def name(self) -> str:
        """The name that the wake-ups of the stream give it."""
        return self.job_id

    def newest(self) -> EventId:
        """The last event's id, of the stream or of the archive."""
        try:
            live = stream.last_id(self._held.redis, self.job_id)
        except redis.RedisError as error:
            log.warning("following without Redis: %s", error, extra={"job_id": self.job_id})
            live = None
        with self._held.sessions() as session:
            return max(live or START, archive.last_id(session, self.job_id))

    def read(self, after: EventId, count: int) -> Page:
        """A page, from the stream where it can answer alone."""
        return replay.read(self._held, self.job_id, after, count)

    def require_past(self, after: EventId, patience_seconds: float) -> None:
        """Raise `FutureCursor` if no event with the id `after` can have been sent.

        One that was sent can be missing while it is on its way to the archive, where Redis was
        restarted and has forgotten it. So while the job's attempt goes on, the answer to a cursor
        that nobody knows waits for at most `patience_seconds`.
        """
        deadline, wait = time.monotonic() + patience_seconds, ASK_AGAIN_SECONDS
        while True:
            try:
                live = stream.last_id(self._held.redis, self.job_id)
            except redis.RedisError as error:
                # Nobody knows now, and who resumes must not be turned away for it.
                log.warning("a cursor is not checked: %s", error, extra={"job_id": self.job_id})
                return
            with self._held.sessions() as session:
                newest = max(live or START, archive.last_id(session, self.job_id))
                job = jobs.get(session, self.job_id)
                may_come = job.events_closed_at is None and after.attempt <= job.attempt
            if after <= newest:
                return
            if not may_come or time.monotonic() >= deadline:
                raise FutureCursor(after=str(after), newest=str(newest))
            time.sleep(wait)
            wait = min(2 * wait, 1.0)
