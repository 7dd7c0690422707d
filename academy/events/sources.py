"""What a feed follows: the events of one job, wherever they lie."""

from __future__ import annotations

import logging
import time
from typing import Protocol

import redis

from academy.errors import AcademyError
from academy.events import archive, replay, stream
from academy.events.event import START, EventId
from academy.events.replay import Page
from academy.store.engine import Sessions
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

    def __init__(self, sessions: Sessions, client: redis.Redis, job_id: str) -> None:
        self.job_id = job_id
        self._sessions = sessions
        self._client = client

    @property
    def name(self) -> str:
        """The name that the wake-ups of the stream give it."""
        return self.job_id

    def newest(self) -> EventId:
        """The last event's id, of the stream or of the archive."""
        try:
            live = stream.last_id(self._client, self.job_id)
        except redis.RedisError as error:
            log.warning("following without Redis: %s", error, extra={"job_id": self.job_id})
            live = None
        with self._sessions() as session:
            return max(live or START, archive.last_id(session, self.job_id))

    def read(self, after: EventId, count: int) -> Page:
        """A page, from the stream where it can answer alone."""
        return replay.read(self._sessions, self._client, self.job_id, after, count)

    def require_past(self, after: EventId, patience_seconds: float) -> None:
        """Raise `FutureCursor` if no event with the id `after` can have been sent.

        An event that was sent can be missing for as long as it is on its way to the archive, where
        Redis was restarted; so there the answer waits for at most `patience_seconds`.
        """
        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                live = stream.last_id(self._client, self.job_id)
            except redis.RedisError as error:
                # Nobody knows now, and who resumes must not be turned away for it.
                log.warning("a cursor is not checked: %s", error, extra={"job_id": self.job_id})
                return
            with self._sessions() as session:
                archived = archive.last_id(session, self.job_id)
                is_closed = jobs.get(session, self.job_id).events_closed_at is not None
            newest = max(live or START, archived)
            if after <= newest:
                return
            # One writer numbers upwards, so what the stream has lost lies below what it has.
            is_known = live is not None or is_closed
            if is_known or time.monotonic() >= deadline:
                raise FutureCursor(after=str(after), newest=str(newest))
            time.sleep(ASK_AGAIN_SECONDS)
