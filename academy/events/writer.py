"""The one writer of an attempt's events: it numbers them and keeps them until they are stored."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from academy.events.event import Event, EventId, logged_bytes, timestamp
from academy.events.lines import cleaned

#: Events that wait in memory at most; beyond it the oldest go.
MOST_WAITING = 500_000


class EventWriter:
    """Numbers the events of one attempt; made by `EventSender.open`, which sends and archives them.

    Use as a context manager. Where the last event says that the job is over, the sender closes the
    job's events once they are archived.
    """

    def __init__(
        self, job_id: str, attempt: int, tell: Callable[[bool], None], most_logged: int
    ) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.last_seq = 0
        #: Whether an earlier attempt, killed in between, may have left events in the stream only.
        self.leftovers = attempt > 1
        self.archived_at = time.monotonic()
        #: When the owner said that no more events come.
        self.ended_at: float | None = None
        self._tell = tell
        self._most_logged = most_logged
        self._logged = self._left_out = 0
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
        """Number an event and leave it to the sender; never waits for a server.

        Its texts are cleaned (`academy.events.lines`). Once the log has `most_logged` bytes,
        further lines are left out and counted; every other event comes all the same. Returns the
        event's id, or, for a line that is left out, that of the last event.
        """
        fields = {name: cleaned(value) for name, value in fields.items()}
        moment = fields.pop("timestamp", None) or timestamp()
        with self._lock:
            if type != "log" or self._has_room(fields):
                self._add(type, moment, fields)
            identity = EventId(self.attempt, self.last_seq)
        self._tell(False)
        return identity

    def _has_room(self, fields: dict[str, Any]) -> bool:
        """Whether the log may have one more line; the last one says that there are no more."""
        if self._left_out:
            self._left_out += 1
            return False
        self._logged += logged_bytes(fields)
        if self._logged > self._most_logged:
            self._left_out = 1
            limit = f"{self._most_logged} bytes (ACADEMY_LOG_BYTES)"
            text = f"The log has reached {limit}; further lines are left out."
            self._add("log", timestamp(), {"level": "warning", "message": text})
            return False
        return True

    def _add(self, type: str, moment: str, fields: dict[str, Any]) -> None:
        event = self._numbered(type, moment, fields)
        if event.is_last and self._left_out:
            text = f"{self._left_out} lines were left out of the log."
            self._take(self._numbered("log", moment, {"level": "warning", "message": text}))
            self._left_out = 0
            event = self._numbered(type, moment, fields)
        self._take(event)

    def _numbered(self, type: str, moment: str, fields: dict[str, Any]) -> Event:
        seq = self.last_seq + 1
        if type == "log":
            fields["line"] = seq
        return Event(EventId(self.attempt, seq), type, moment, fields)

    def _take(self, event: Event) -> None:
        self.last_seq = event.id.seq
        self._unsent.append(event)
        self._unarchived.append(event)
        self._to_close = event.is_last

    def count_earlier(self, logged: int) -> None:
        """Earlier attempts left so many bytes of lines, which count as if they were of this one."""
        with self._lock:
            self._logged += logged

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
