"""The one writer of an attempt's events: it numbers them and keeps them until they are stored."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from academy.events.event import LONGEST_LINE, Event, EventId, timestamp

#: Events that wait in memory at most; beyond it the oldest go.
MOST_WAITING = 500_000


class EventWriter:
    """Numbers the events of one attempt; made by `EventSender.open`, which sends and archives them.

    Use as a context manager. Where the last event says that the job is over, the sender closes the
    job's events once they are archived.
    """

    def __init__(self, job_id: str, attempt: int, tell: Callable[[bool], None]) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.last_seq = 0
        #: Whether an earlier attempt, killed in between, may have left events in the stream only.
        self.leftovers = attempt > 1
        self.archived_at = time.monotonic()
        #: When the owner said that no more events come.
        self.ended_at: float | None = None
        self._tell = tell
        self._lock = threading.Lock()
        self._unsent: deque[Event] = deque(maxlen=MOST_WAITING)
        self._unarchived: deque[Event] = deque(maxlen=MOST_WAITING)
        #: The job is over with the last event, and that the archive has all is not recorded yet.
        self._to_close = False

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def emit(self, type: str, **fields: Any) -> EventId:
        """Number an event and leave it to the sender; never waits for a server."""
        message = fields.get("message")
        if isinstance(message, str) and len(message) > LONGEST_LINE:
            fields["message"] = message[:LONGEST_LINE] + " … (cut)"
        moment = fields.pop("timestamp", None) or timestamp()
        with self._lock:
            self.last_seq += 1
            identity = EventId(self.attempt, self.last_seq)
            if type == "log":
                fields["line"] = self.last_seq
            event = Event(identity, type, moment, fields)
            self._unsent.append(event)
            self._unarchived.append(event)
            self._to_close = event.is_last
        self._tell(False)
        return identity

    def close(self) -> None:
        """No more events come from this attempt; does not wait until they are stored."""
        self.ended_at = time.monotonic()
        # The next attempt may begin at once elsewhere, and its events shut the stream to ours.
        self._tell(not self._to_close)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do for this attempt."""
        waiting = self._unsent or self._unarchived or self._to_close or self.leftovers
        return self.ended_at is not None and not waiting

    @property
    def is_archivable(self) -> bool:
        """Whether the archive lacks something that could be stored now."""
        return bool(self._unarchived) or self.is_closable

    @property
    def is_closable(self) -> bool:
        """Whether all events of the job are out, so that its end can be archived with the rest."""
        return self._to_close and not self._unsent and not self.leftovers

    @property
    def waiting(self) -> int:
        """Events that the archive does not have."""
        return len(self._unarchived)

    def unsent(self, count: int) -> list[Event]:
        """The first `count` events at most that the live stream does not have."""
        with self._lock:
            return [self._unsent[at] for at in range(min(count, len(self._unsent)))]

    def unarchived(self) -> list[Event]:
        """The events that the archive does not have."""
        with self._lock:
            return list(self._unarchived)

    def sent(self, events: list[Event]) -> None:
        """The live stream has these by now."""
        self._drop(self._unsent, events)

    def archived(self, events: list[Event], *, closed: bool) -> None:
        """The archive has these by now, and knows whether that was all."""
        self.archived_at = time.monotonic()
        self._drop(self._unarchived, events)
        if closed:
            self._to_close = False

    def _drop(self, queue: deque[Event], events: list[Event]) -> None:
        with self._lock:
            while queue and events and queue[0].id <= events[-1].id:
                queue.popleft()
