"""A feed is read and written at the same time."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from academy.events.event import Event, EventId
from academy.events.feed import RING, Feed

COUNT = 2 * RING


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_threads")
def test_a_reader_beside_the_writer_gets_every_event_once() -> None:
    feed = Feed("job")

    def write() -> None:
        for number in range(1, COUNT + 1):
            feed.add([Event(EventId(1, number), "log", "now", {})])

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        # All that is there, again and again, so that the writer comes in the middle.
        begin = feed.floor
        batch = feed.after(begin)
        assert batch is None or [each.id.seq for each in batch] == [
            begin.seq + place for place in range(1, len(batch) + 1)
        ]
    rest = feed.after(EventId(1, COUNT - 10))
    assert rest is not None and [each.id.seq for each in rest] == list(range(COUNT - 9, COUNT + 1))


def test_who_is_further_behind_than_the_ring_reaches_is_told_so() -> None:
    feed = Feed("job")
    feed.add([Event(EventId(1, number), "log", "now", {}) for number in range(1, RING + 3)])
    assert feed.after(EventId(1, 1)) is None
    newest = feed.after(EventId(1, RING + 1))
    assert newest is not None and [event.id.seq for event in newest] == [RING + 2]
