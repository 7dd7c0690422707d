"""What an API process holds of one followed job: its newest events, in order."""

from __future__ import annotations

import bisect
import threading
import time

from academy.events.event import START, Event, EventId

#: Events that a feed keeps for its watchers, and how many bytes of lines at most.
RING = 10_000
RING_BYTES = 4 << 20
#: Events, and bytes of lines, in one batch to a watcher at most; one event whatever it takes.
BATCH = 1000
BATCH_BYTES = 512 << 10
#: What a line takes in the ring beside its text.
_OVERHEAD_BYTES = 200


class Feed:
    """The newest events of one source, and where they begin.

    Written by the hub's reader, read by all watchers.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.watchers = 0
        self.over = False
        self.changed = threading.Condition()
        #: Events above this id and up to `last` are all in the ring.
        self.floor = START
        self.last = START
        self._ids: list[EventId] = []
        self._ring: list[Event] = []
        self._bytes = 0
        self._gap_since: float | None = None

    def begin_at(self, last: EventId) -> None:
        """Follow what comes after `last`."""
        self.floor = self.last = last

    def after(self, cursor: EventId) -> list[Event] | None:
        """The ring's first events after `cursor`; None if the ring begins later than that."""
        with self.changed:  # as the reader may be appending at this moment
            if cursor < self.floor:
                return None
            begin = bisect.bisect_right(self._ids, cursor)
            return first_of(self._ring[begin : begin + BATCH])

    def add(self, events: list[Event]) -> None:
        """Append new events and wake the watchers."""
        with self.changed:
            self._ring.extend(events)
            self._ids.extend(event.id for event in events)
            self._bytes += sum(len(event.line) + _OVERHEAD_BYTES for event in events)
            self.last = events[-1].id
            if len(self._ring) > RING or self._bytes > RING_BYTES:
                self._drop()
            self.over = self.over or events[-1].is_last
            self.changed.notify_all()

    def end(self) -> None:
        """There will be no more events."""
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def waits_for_gap(self, gap: bool, patience_seconds: float) -> bool:
        """Whether events that are missing may still arrive in the archive."""
        if not gap:
            self._gap_since = None
            return False
        self._gap_since = self._gap_since or time.monotonic()
        return time.monotonic() - self._gap_since < patience_seconds

    def _drop(self) -> None:
        """Let the oldest go: more than has to, so that it is seldom done."""
        keep = RING - RING // 8
        begin = max(0, len(self._ring) - keep)
        held = self._bytes - sum(len(each.line) + _OVERHEAD_BYTES for each in self._ring[:begin])
        most = RING_BYTES - RING_BYTES // 8
        while held > most and begin < len(self._ring) - 1:
            held -= len(self._ring[begin].line) + _OVERHEAD_BYTES
            begin += 1
        if begin == 0:
            return
        self.floor = self._ids[begin - 1]
        del self._ring[:begin], self._ids[:begin]
        self._bytes = held


def first_of(events: list[Event]) -> list[Event]:
    """The first of the events that make one batch."""
    size = 0
    for place, event in enumerate(events):
        size += len(event.line)
        if size > BATCH_BYTES and place:
            return events[:place]
        if place >= BATCH:
            return events[:BATCH]
    return events
