"""Many watchers, one reader: each API process follows a job once, however many watch it.

A watcher holds only a cursor. What it has not seen yet it takes from the feed's ring, or, if it is
too far behind, from the replay; so a slow watcher costs no memory.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator

import redis

from academy.events import replay, stream
from academy.events.event import START, Event, EventId, timestamp
from academy.settings import Settings
from academy.store.engine import Sessions, StoreError
from academy.store.jobs import jobs

log = logging.getLogger(__name__)

#: Events that a feed keeps for its watchers.
RING = 5000
#: Events in one batch to a watcher at most; slower watchers get larger batches up to this.
BATCH = 1000
#: The hub looks for news this often even if it was not woken.
POLL_SECONDS = 1.0
#: A watcher whose events are in neither place for now asks for them again after so long.
_ASK_AGAIN_SECONDS = 0.05


class Feed:
    """What the hub knows of one watched job: the newest events, and where they begin."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.watchers = 0
        self.over = False
        self.changed = threading.Condition()
        #: Events above this id and up to `last` are all in the ring.
        self.floor = START
        self.last = START
        self._ring: deque[Event] = deque()
        self._gap_since: float | None = None

    def begin_at(self, last: EventId) -> None:
        """Follow what comes after `last`."""
        self.floor = self.last = last

    def after(self, cursor: EventId) -> list[Event] | None:
        """The ring's events after `cursor`; None if the ring begins later than that."""
        with self.changed:  # as the reader may be appending at this moment
            if cursor < self.floor:
                return None
            return [event for event in self._ring if event.id > cursor][:BATCH]

    def add(self, events: list[Event]) -> None:
        """Append new events and wake the watchers."""
        with self.changed:
            self._ring.extend(events)
            self.last = events[-1].id
            while len(self._ring) > RING:
                self.floor = self._ring.popleft().id
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


class Hub:
    """One per process: one Redis subscription, one reader thread, one feed per watched job."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._settings = settings
        self._sessions = sessions
        self._client = stream.connect(settings)
        self._feeds: dict[str, Feed] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False
        # Missing events reach the archive within its interval, or never.
        self._patience = 2 * settings.events.archive_seconds + 1

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the reader thread and every watcher."""
        self._closing = True
        with self._lock:
            thread, feeds = self._thread, list(self._feeds.values())
        for feed in feeds:
            feed.end()
        if thread is not None:
            thread.join(timeout=10)
        self._client.close()

    def watch(self, job_id: str, after: EventId | None = None) -> Iterator[list[Event]]:
        """Batches of events strictly after `after`, in order, each event once.

        An empty batch comes whenever nothing happened for ``ping_seconds``. Ends after the job's
        terminal status.
        """
        feed = self._join(job_id)
        cursor = after or START
        try:
            while True:
                batch = feed.after(cursor)
                if batch is None:
                    batch = self._replay(feed, cursor)
                if batch:
                    cursor = batch[-1].id
                    yield batch
                    if batch[-1].is_last:
                        return
                    # Everything of one tick goes into one frame.
                    time.sleep(self._settings.events.tick_seconds)
                elif self._closing or (feed.over and cursor >= feed.last):
                    return
                elif not self._wait(feed, cursor):
                    yield []
        finally:
            self._leave(feed)

    def _wait(self, feed: Feed, cursor: EventId) -> bool:
        with feed.changed:
            return feed.changed.wait_for(
                lambda: feed.last > cursor or feed.over, timeout=self._settings.events.ping_seconds
            )

    def _replay(self, feed: Feed, cursor: EventId) -> list[Event]:
        deadline = time.monotonic() + self._patience
        while True:
            page = replay.read(self._sessions, self._client, feed.job_id, cursor, BATCH)
            if page.events and not page.gap:
                return page.events
            if time.monotonic() >= deadline or self._closing:
                break
            # What the stream has lost may be on its way to the archive.
            time.sleep(_ASK_AGAIN_SECONDS)
        if page.gap:
            return [_truncated(cursor, page.events[0].id), *page.events]
        # The archive ends before the ring begins and the stream is gone.
        return [_truncated(cursor, feed.floor)]

    def _join(self, job_id: str) -> Feed:
        with self._lock:
            feed = self._feeds.get(job_id)
            if feed is None:
                feed = self._feeds[job_id] = Feed(job_id)
                try:
                    feed.begin_at(stream.last_id(self._client, job_id) or START)
                except redis.RedisError as error:
                    log.warning("following without Redis: %s", error, extra={"job_id": job_id})
            feed.watchers += 1
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
                self._thread.start()
        return feed

    def _leave(self, feed: Feed) -> None:
        with self._lock:
            feed.watchers -= 1
            if feed.watchers == 0:
                self._feeds.pop(feed.job_id, None)

    def _run(self) -> None:
        subscription: redis.client.PubSub | None = None
        polled_at = 0.0
        while True:
            with self._lock:
                feeds = dict(self._feeds)
                over = self._closing or not feeds
                if over:
                    # The next watcher starts a new reader.
                    self._thread = None
            if over:
                if subscription is not None:
                    subscription.close()
                return
            woken: set[str] = set()
            try:
                if subscription is None:
                    subscription = stream.subscribe(self._client)
                wait = max(0.0, POLL_SECONDS - (time.monotonic() - polled_at))
                message = subscription.get_message(timeout=wait)
                while message is not None:
                    woken.add(message["data"].decode())
                    message = subscription.get_message(timeout=0)
            except redis.RedisError as error:
                log.warning("the hub polls, Redis is away: %s", error)
                if subscription is not None:
                    subscription.close()
                subscription = None
                time.sleep(POLL_SECONDS)
            everything = time.monotonic() - polled_at >= POLL_SECONDS
            if everything:
                polled_at = time.monotonic()
            for job_id, feed in feeds.items():
                if everything or job_id in woken:
                    self._refresh(feed)

    def _refresh(self, feed: Feed) -> None:
        is_closed = False
        try:
            while not feed.over:
                page = replay.read(self._sessions, self._client, feed.job_id, feed.last, BATCH)
                if feed.waits_for_gap(page.gap, self._patience):
                    return
                if not page.events:
                    if is_closed:
                        feed.end()
                    if is_closed or not self._is_closed(feed.job_id):
                        return
                    # It may have been closed since it was read, so it is read to the end once more.
                    is_closed = True
                    continue
                if page.gap:
                    feed.add([_truncated(feed.last, page.events[0].id)])
                feed.add(page.events)
        except (StoreError, redis.RedisError) as error:
            log.warning(
                "a feed cannot be read now: %s", type(error).__name__, extra={"job_id": feed.job_id}
            )

    def _is_closed(self, job_id: str) -> bool:
        with self._sessions() as session:
            return jobs.get(session, job_id).events_closed_at is not None


def _truncated(after: EventId, before: EventId) -> Event:
    """Stands in for events that are gone for good."""
    last = EventId(before.attempt, max(0, before.seq - 1))
    return Event(max(after, last), "truncated", timestamp(), {"after": str(after)})
