"""Many watchers, one reader: each API process follows a job once, however many watch it.

A watcher holds only a cursor. What it has not seen yet it takes from the feed's ring, or, if it is
too far behind, from the replay; so a slow watcher costs no memory.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import redis

from academy.events import stream
from academy.events.event import START, Event, EventId
from academy.events.feed import BATCH, Feed, first_of
from academy.events.objects import LogObjects
from academy.events.replay import Connections, truncated
from academy.events.sources import ASK_AGAIN_SECONDS, JobEvents, Source
from academy.settings import Settings
from academy.store.engine import Sessions, StoreError
from academy.store.jobs import jobs

log = logging.getLogger(__name__)

#: The hub looks for news this often even if it was not woken.
POLL_SECONDS = 1.0
#: Replays that are read at once; each takes a connection to Redis, and perhaps one to PostgreSQL.
REPLAYS = 4


class _Followed:
    """A feed with where its events come from."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.feed = Feed(source.name)


class Hub:
    """One per process: one Redis subscription, one reader thread, one feed per watched job."""

    def __init__(
        self, settings: Settings, sessions: Sessions, objects: LogObjects | None = None
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._client = stream.connect(settings)
        self._held = Connections(sessions, self._client, objects or LogObjects(settings))
        self._followed: dict[str, _Followed] = {}
        self._lock = threading.Lock()
        self._reading = threading.Semaphore(REPLAYS)
        self._thread: threading.Thread | None = None
        self._closing = False
        # Missing events reach the archive within its interval, or never.
        self._patience = 2 * settings.events.archive_seconds + 1
        #: Is called with each feed that has news, by the reader; must not wait.
        self.on_change: Callable[[Feed], None] = lambda feed: None

    def __enter__(self) -> Hub:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the reader thread and every watcher."""
        self._closing = True
        with self._lock:
            thread, followed = self._thread, list(self._followed.values())
        for each in followed:
            each.feed.end()
        if thread is not None:
            thread.join(timeout=10)
        self._client.close()

    @property
    def feeds(self) -> list[Feed]:
        """The feeds that somebody watches."""
        return [each.feed for each in self._followed.values()]

    def job(self, job_id: str) -> JobEvents:
        """The events of a job, to be followed."""
        return JobEvents(self._held, job_id)

    def is_followed(self, name: str) -> bool:
        """Whether somebody watches the source of that name."""
        return name in self._followed

    def require_past(self, job_id: str, after: EventId) -> None:
        """Raise `FutureCursor` if no event `after` can have been sent; see `JobEvents`."""
        followed = self._followed.get(job_id)
        if followed is None or after > followed.feed.last:
            self.job(job_id).require_past(after, self._patience)

    def join(self, source: Source) -> Feed:
        """Count a watcher in; the feed that it watches. Raises `StoreError`."""
        with self._lock:
            followed = self._followed.get(source.name)
        begin = source.newest() if followed is None else START
        with self._lock:
            followed = self._followed.get(source.name)
            if followed is None:  # nobody else began meanwhile
                followed = self._followed[source.name] = _Followed(source)
                followed.feed.begin_at(begin)
            followed.feed.watchers += 1
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
                self._thread.start()
        return followed.feed

    def leave(self, feed: Feed) -> None:
        """Count a watcher out; the last one ends the feed."""
        with self._lock:
            feed.watchers -= 1
            if feed.watchers == 0:
                self._followed.pop(feed.name, None)

    def fetch(self, feed: Feed, cursor: EventId) -> list[Event]:
        """A batch of what the ring does not reach back to; waits for it. Raises `StoreError`.

        Empty only if nobody watches any more, or the hub closes.
        """
        deadline = time.monotonic() + self._patience
        while True:
            followed = self._followed.get(feed.name)
            if followed is None:
                return []
            with self._reading:
                page = followed.source.read(cursor, BATCH)
            if page.events and not page.gap:
                return first_of(page.events)
            if self._closing:
                return []
            if time.monotonic() >= deadline:
                break
            # What the stream has lost may be on its way to the archive.
            time.sleep(ASK_AGAIN_SECONDS)
        if page.gap:
            return first_of([truncated(cursor, page.events[0].id), *page.events])
        # The archive ends before the ring begins and the stream is gone.
        return [truncated(cursor, feed.floor)]

    def watch(self, source: Source, after: EventId | None = None) -> Iterator[list[Event]]:
        """Batches of events strictly after `after`, in order, each event once.

        For one who can wait: a thread, or an answer that a server iterates over. An empty batch
        comes whenever nothing happened for ``ping_seconds``. Ends after the job's terminal status.
        """
        feed = self.join(source)
        cursor = after or START
        try:
            while True:
                batch = feed.after(cursor)
                if batch is None:
                    batch = self.fetch(feed, cursor)
                if batch:
                    cursor = batch[-1].id
                    yield batch
                    if batch[-1].is_last:
                        return
                    # Everything of one tick goes into one batch.
                    time.sleep(self._settings.events.tick_seconds)
                elif self._closing or (feed.over and cursor >= feed.last):
                    return
                elif not self._wait(feed, cursor):
                    yield []
        finally:
            self.leave(feed)

    def _wait(self, feed: Feed, cursor: EventId) -> bool:
        with feed.changed:
            return feed.changed.wait_for(
                lambda: feed.last > cursor or feed.over, timeout=self._settings.events.ping_seconds
            )

    def _run(self) -> None:
        subscription: redis.client.PubSub | None = None
        polled_at = 0.0
        while True:
            with self._lock:
                followed = dict(self._followed)
                over = self._closing or not followed
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
            self._look(
                [each for name, each in followed.items() if everything or name in woken], everything
            )

    def _look(self, followed: Iterable[_Followed], thoroughly: bool) -> None:
        """Take in what is new; `thoroughly`, find out which of the others are over."""
        quiet = [each for each in followed if not each.feed.over and not self._take_in(each)]
        if not (thoroughly and quiet):
            return
        try:
            over = self._closed([each.feed.name for each in quiet])
        except StoreError as error:
            log.warning("who is over cannot be read now: %s", type(error).__name__)
            return
        for each in quiet:
            # It may have been closed since it was read, so it is read to the end once more.
            if each.feed.name in over and not self._take_in(each):
                each.feed.end()
                self.on_change(each.feed)

    def _closed(self, job_ids: list[str]) -> set[str]:
        """Those of the jobs whose events are all archived."""
        with self._sessions() as session:
            return jobs.closed_streams(session, closed_before_seconds=0, job_ids=job_ids)

    def _take_in(self, followed: _Followed) -> bool:
        """Whether anything was new, or may still come; all of it is in the feed then."""
        feed, news = followed.feed, False
        try:
            while not feed.over:
                page = followed.source.read(feed.last, BATCH)
                if feed.waits_for_gap(page.gap, self._patience):
                    return True
                if not page.events:
                    break
                if page.gap:
                    feed.add([truncated(feed.last, page.events[0].id)])
                feed.add(page.events)
                news = True
                self.on_change(feed)
        except (StoreError, redis.RedisError) as error:
            log.warning(
                "a feed cannot be read now: %s", type(error).__name__, extra={"job_id": feed.name}
            )
            return True
        return news
