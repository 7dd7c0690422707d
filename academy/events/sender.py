"""Sends the events of a process's attempts live, and archives them, in a thread of its own.

Neither Redis nor Postgres being away stops a writer: events wait in memory and are sent when the
server is back. What is sent twice is dropped by both sides. Attempts that end one soon after the
other share their transactions.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

import redis

from academy.events import archive, stream
from academy.events.closing import archive_stream
from academy.events.writer import EventWriter
from academy.settings import Settings
from academy.store.engine import Sessions, StoreError, StoreRefusal, autocommit
from academy.store.events import chunks

log = logging.getLogger(__name__)

#: Events of an attempt in one write to Redis at most.
BATCH = 1000
#: Between two writes to Redis, unless there is more than one holds.
_REST_SECONDS = 0.02
#: Attempts that end within so long are archived together.
_TOGETHER_SECONDS = 0.2
#: After a failure the next try comes a little later.
_FAILED_SECONDS = 0.5
#: Between two tries to archive what an earlier attempt left behind.
_LEFTOVERS_SECONDS = 5.0


class EventSender:
    """One for a process; use as a context manager, which on leaving waits for what is not stored.

    What it cannot store, because a server is away for longer than ``blind_seconds`` after the end
    of an attempt or than the wait on leaving, is brought to its end by the keeper.
    """

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._settings = settings
        self._sessions = sessions
        self._client = stream.shared(settings)
        self._writers: list[EventWriter] = []
        self._lock = threading.Lock()
        self._news = threading.Event()
        #: Ends the rest between two rounds.
        self._hurry = threading.Event()
        self._stopping = False
        self._archived_at = self._tidied_at = 0.0
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def __enter__(self) -> EventSender:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin to send; what is emitted before waits."""
        self._thread.start()

    def open(self, job_id: str, attempt: int) -> EventWriter:
        """A writer for the events of one attempt."""
        writer = EventWriter(job_id, attempt, self._tell, self._settings.events.log_bytes)
        with self._lock:
            self._writers.append(writer)
        return writer

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Store what waits, for at most the time-out; the keeper does the rest."""
        self._stopping = True
        self._tell(True)
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _tell(self, at_once: bool) -> None:
        if at_once:
            self._hurry.set()
        if not self._news.is_set():
            self._news.set()

    def _run(self) -> None:
        while True:
            if not self._stopping:
                self._news.wait(self._longest_wait())
            # Cleared before looking, so what comes meanwhile is looked at in the next round.
            self._news.clear()
            self._hurry.clear()
            stopping = self._stopping
            try:
                succeeded = self._take_round(stopping)
            except Exception:
                # Nobody else sends this process's events, and one odd event is no reason to stop.
                log.exception("a round of events failed")
                succeeded = False
            is_more = any(writer.unsent(1) for writer in self._open_writers())
            if stopping and not (succeeded and is_more):
                return
            if not succeeded:
                self._hurry.wait(_FAILED_SECONDS)
            elif is_more:
                self._news.set()
            else:
                self._hurry.wait(_REST_SECONDS)

    def _take_round(self, stopping: bool) -> bool:
        """Send, tidy and archive what is due; whether all of it succeeded."""
        writers = self._open_writers()
        done = [
            self._send(writers),
            self._archive_leftovers(writers, stopping),
            self._archive(writers, stopping),
        ]
        return all(done)

    def _longest_wait(self) -> float | None:
        writers = self._open_writers()
        if any(writer.ended_at is not None for writer in writers):
            return _TOGETHER_SECONDS
        if any(writer.is_archivable for writer in writers):
            return self._settings.events.archive_seconds / 2
        return _LEFTOVERS_SECONDS if any(writer.leftovers for writer in writers) else None

    def _open_writers(self) -> list[EventWriter]:
        """The writers with something left to do; forgets the others."""
        with self._lock:
            self._writers = [each for each in self._writers if not self._is_over(each)]
            return list(self._writers)

    def _is_over(self, writer: EventWriter) -> bool:
        if writer.is_done:
            return True
        if writer.ended_at is None:
            return False
        is_over = time.monotonic() - writer.ended_at > self._settings.jobs.blind_seconds
        if is_over:
            log.error("events are left to the keeper", extra=_about(writer))
        return is_over

    def _send(self, writers: Sequence[EventWriter]) -> bool:
        batches = [(writer, writer.unsent(BATCH)) for writer in writers]
        batches = [(writer, batch) for writer, batch in batches if batch]
        if not batches:
            return True
        try:
            stream.append_all(self._client, [(writer.job_id, batch) for writer, batch in batches])
        except redis.RedisError as error:
            log.warning("events wait for Redis: %s", error, extra=_about(*dict(batches)))
            return False
        for writer, batch in batches:
            writer.sent(batch)
        return True

    def _archive(self, writers: Sequence[EventWriter], stopping: bool) -> bool:
        now = time.monotonic()
        together = stopping or now - self._archived_at >= _TOGETHER_SECONDS
        due = [
            writer
            for writer in writers
            if writer.is_archivable
            and (
                (together and writer.ended_at is not None)
                or stopping
                or writer.waiting >= archive.CHUNK
                or now - writer.archived_at >= self._settings.events.archive_seconds
            )
        ]
        if not due:
            return True
        self._archived_at = now
        return self._store(due)

    def _store(self, writers: Sequence[EventWriter]) -> bool:
        closable = {writer.job_id for writer in writers if writer.is_closable}
        batches = [(writer, writer.unarchived()) for writer in writers]
        try:
            archive.store(
                self._sessions, [(each.job_id, batch) for each, batch in batches], closable
            )
        except StoreRefusal as error:
            if len(writers) > 1:  # one of them, and the others need not suffer
                stored = [self._store([writer]) for writer in writers]
                return all(stored)
            log.error("the archive refuses events: %s", error, extra=_about(*writers))
            return False
        except StoreError as error:
            log.warning(
                "events wait for the archive: %s", type(error).__name__, extra=_about(*writers)
            )
            return False
        for writer, batch in batches:
            writer.archived(batch, closed=writer.job_id in closable)
        return True

    def _archive_leftovers(self, writers: Sequence[EventWriter], stopping: bool) -> bool:
        """What earlier attempts left in the stream; whether nothing of it is left."""
        now = time.monotonic()
        having = [writer for writer in writers if writer.leftovers]
        if not having or (now - self._tidied_at < _LEFTOVERS_SECONDS and not stopping):
            return True
        for writer in having:
            try:
                self._settle_earlier(writer)
            except (StoreError, redis.RedisError) as error:
                self._tidied_at = now
                log.warning(
                    "an earlier attempt's events are not archived yet: %s",
                    type(error).__name__,
                    extra=_about(writer),
                )
                return False
        return True

    def _settle_earlier(self, writer: EventWriter) -> None:
        """Archive what earlier attempts left in the stream, and count how much they logged."""
        job_id, attempt = writer.job_id, writer.attempt
        try:
            archive_stream(self._sessions, self._client, job_id, before_attempt=attempt)
        except (ValueError, KeyError):
            log.exception("an earlier attempt left no events in its stream", extra=_about(writer))
        with autocommit(self._sessions) as session:
            writer.count_earlier(chunks.logged(session, job_id, attempt))
        writer.leftovers = False


def _about(*writers: EventWriter) -> dict[str, object]:
    return {
        "jobs": [writer.job_id for writer in writers],
        "waiting": sum(writer.waiting for writer in writers),
    }
