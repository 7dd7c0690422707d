"""The one writer of an attempt's events: numbers them, sends them live, archives them.

Neither Redis nor Postgres being away stops the caller: events wait in memory and are sent when the
server is back. What is sent twice is dropped by both sides.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Any

import redis

from academy.events import archive, stream
from academy.events.closing import archive_stream
from academy.events.event import LONGEST_LINE, Event, EventId, timestamp
from academy.settings import Settings
from academy.store import jobs
from academy.store.engine import Sessions, StoreError

log = logging.getLogger(__name__)

#: Events in one write to Redis at most.
BATCH = 1000
#: Events that wait in memory at most; beyond it the oldest unsent ones go, and are counted.
MOST_WAITING = 500_000
#: Between two tries to archive what an earlier attempt left behind.
_LEFTOVERS_SECONDS = 5.0


class EventWriter:
    """Writes the events of one attempt from a thread of its own. Use as a context manager.

    Where the last event says that the job is over, closing the writer closes the job's events.
    """

    def __init__(self, settings: Settings, sessions: Sessions, job_id: str, attempt: int) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.last_seq = 0
        self._settings = settings
        self._sessions = sessions
        self._client = stream.shared(settings)
        #: Whether an earlier attempt, killed in between, may have left events in the stream only.
        self._leftovers = attempt > 1
        self._unsent: deque[Event] = deque(maxlen=MOST_WAITING)
        self._unarchived: deque[Event] = deque(maxlen=MOST_WAITING)
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def __enter__(self) -> EventWriter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def emit(self, type: str, **fields: Any) -> EventId:
        """Number an event and hand it to the sender; never waits for a server."""
        message = fields.get("message")
        if isinstance(message, str) and len(message) > LONGEST_LINE:
            fields["message"] = message[:LONGEST_LINE] + " … (cut)"
        moment = fields.pop("timestamp", None) or timestamp()
        with self._wake:
            self.last_seq += 1
            identity = EventId(self.attempt, self.last_seq)
            if type == "log":
                fields["line"] = self.last_seq
            event = Event(identity, type, moment, fields)
            self._unsent.append(event)
            self._unarchived.append(event)
            self._wake.notify()
        return identity

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Send and archive what waits, for at most the time-out; the keeper does the rest."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        archived_at = tidied_at = time.monotonic()
        if self._leftovers:
            self._archive_leftovers()
        pause = 0.0
        while True:
            with self._wake:
                if pause:
                    self._wake.wait_for(lambda: self._closing, timeout=pause)
                else:
                    self._wake.wait_for(
                        lambda: self._closing or bool(self._unsent),
                        timeout=self._settings.archive_seconds / 2,
                    )
                closing = self._closing
            sent = self._send()
            if self._leftovers and (closing or time.monotonic() - tidied_at >= _LEFTOVERS_SECONDS):
                self._archive_leftovers()
                tidied_at = time.monotonic()
            due = time.monotonic() - archived_at >= self._settings.archive_seconds
            full = len(self._unarchived) >= archive.CHUNK
            if self._unarchived and (due or closing or full) and self._archive():
                archived_at = time.monotonic()
            # After a failure the next try comes a little later, not at once.
            pause = 0.0 if sent else 0.5
            if closing and (not self._unsent or not sent):
                return

    def _send(self) -> bool:
        while self._unsent:
            with self._wake:
                batch = [self._unsent[index] for index in range(min(BATCH, len(self._unsent)))]
            try:
                stream.append(self._client, self.job_id, batch)
            except redis.RedisError as error:
                log.warning(
                    "events wait for Redis: %s",
                    error,
                    extra={"job_id": self.job_id, "waiting": len(self._unsent)},
                )
                return False
            self._drop(self._unsent, batch)
        return True

    def _archive(self) -> bool:
        with self._wake:
            batch = list(self._unarchived)
        try:
            with self._sessions.begin() as session:
                archive.append(session, self.job_id, batch)
                if batch[-1].is_last and not self._unsent and not self._leftovers:
                    jobs.close_events(session, self.job_id)
        except StoreError as error:
            log.warning(
                "events wait for the archive: %s",
                type(error).__name__,
                extra={"job_id": self.job_id, "waiting": len(batch)},
            )
            return False
        self._drop(self._unarchived, batch)
        return True

    def _drop(self, queue: deque[Event], batch: list[Event]) -> None:
        with self._wake:
            while queue and queue[0].id <= batch[-1].id:
                queue.popleft()

    def _archive_leftovers(self) -> None:
        try:
            archive_stream(self._sessions, self._client, self.job_id, before_attempt=self.attempt)
            self._leftovers = False
        except (StoreError, redis.RedisError) as error:
            log.warning(
                "an earlier attempt's events are not archived yet: %s",
                type(error).__name__,
                extra={"job_id": self.job_id},
            )
