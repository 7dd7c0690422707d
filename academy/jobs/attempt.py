"""An attempt at a job by the worker that holds it, and how it ends.

Whatever the work was, its end is recorded the same way: one guarded transition, tried again while
Postgres is away, then the status as an event; the writer of the events archives them to the end.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeVar

from academy.artifacts.store import ArtifactStore
from academy.errors import AcademyError, StaleFence
from academy.events.closing import failure_of
from academy.events.emitter import Emitter
from academy.events.sender import EventSender
from academy.host.disks import NO_ROOM
from academy.jobs.lease import Hold, Stop
from academy.lifecycle import FailureCode, Status
from academy.settings import Settings
from academy.store.engine import Session, Sessions, StoreError, autocommit
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim, Failure

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class StoppedOnRequest(Exception):
    """The work stopped because its `Hold` wanted it to."""


class JobFailed(Exception):
    """The work failed for a known reason."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.message)


class GivenBack(Exception):
    """The work could not begin, for a reason that is no fault of the job's: it waits and is tried
    again, and no crash is counted."""

    def __init__(self, why: Failure) -> None:
        self.why = why
        super().__init__(why.message)


@dataclass(frozen=True)
class Attempt:
    """What the work on a job needs: the job, its events, its lease, the stores."""

    settings: Settings
    sessions: Sessions
    store: ArtifactStore
    job: Job
    claim: Claim
    events: Emitter
    hold: Hold

    def check(self) -> None:
        """Raise `StoppedOnRequest` if the work should stop."""
        if self.hold.wanted is not None:
            raise StoppedOnRequest

    def try_to_start(self) -> None:
        """Preparing to running: from now on the work itself goes on.

        Raises `StaleFence` where a cancel, a pause or another owner came first, and `StoreError`.
        """
        with autocommit(self.sessions) as session:
            transitions.start(session, self.claim)
        self._say_running()

    def start(self) -> None:
        """As `try_to_start`, again while Postgres is away."""
        self._until_moved(self.try_to_start, Status.RUNNING)

    def finish(self, succeed: Record) -> None:
        """Record success by `succeed`, in a transaction, again while Postgres is away."""
        self._until_moved(lambda: self.record(succeed), Status.FINISHED)

    def record(self, write: Callable[[Session], Answer]) -> Answer:
        """Run `write` in a transaction, again while Postgres is away, until the job is lost.

        Raises `StaleFence` if somebody else has the job, and `StoreError` when the outage outlasts
        ``blind_seconds``.
        """

        def transaction() -> Answer:
            with self.sessions.begin() as session:
                return write(session)

        return self._until_recorded(transaction)

    def _until_moved(self, move: Callable[[], None], to: Status) -> None:
        """As `_until_recorded`, for a move whose answer may be lost after it was committed."""
        try:
            self._until_recorded(move)
        except StaleFence:
            if not self._until_recorded(lambda: self._is_recorded(to)):
                raise
            if to == Status.RUNNING:
                self._say_running()

    def _is_recorded(self, to: Status) -> bool:
        with autocommit(self.sessions) as session:
            return transitions.is_recorded(session, self.claim, to)

    def _say_running(self) -> None:
        self.events.emit("status", status=Status.RUNNING, attempt=self.job.attempt)

    def _until_recorded(self, write: Callable[[], Answer]) -> Answer:
        began = time.monotonic()
        pause = 0.2
        while True:
            try:
                return write()
            except StoreError:
                over = time.monotonic() - began > self.settings.jobs.blind_seconds
                if over or self.hold.wanted == Stop.LOST:
                    raise
                log.warning("recording waits for Postgres", extra={"job_id": self.job.id})
                time.sleep(pause * random.uniform(0.75, 1.25))
                pause = min(5.0, pause * 2)


#: What records an attempt's success, in a transaction of the caller's.
Record = Callable[[Session], None]
#: The work on a job of some kind. It raises `StoppedOnRequest` once its `Hold` wants it to stop,
#: `JobFailed` or another error where it fails, and returns what records its success.
Work = Callable[[Attempt], Record]


def carry_out(
    settings: Settings,
    sessions: Sessions,
    job: Job,
    draining: threading.Event,
    work: Work,
    sender: EventSender | None = None,
) -> Status | None:
    """Do a claimed job's `work` under its lease and record how it ended.

    `work` returns the function that records its success. Returns the job's status afterwards; None
    if the job was lost to another owner, in which case nothing is written. With a `sender` of the
    caller's the last events may still be on their way then; without one they were waited for.
    """
    claim = Claim(job.id, job.fence, job.attempt, job.worker_id or "")
    with (
        nullcontext(sender) if sender else EventSender(settings, sessions) as sending,
        sending.open(job.id, job.attempt) as events,
        Hold(settings, sessions, claim, draining) as hold,
    ):
        attempt = Attempt(settings, sessions, ArtifactStore(settings), job, claim, events, hold)
        events.emit("status", status=Status.PREPARING, attempt=job.attempt, worker=job.worker_id)
        events.emit("log", level="info", message=f"{job.worker_id} took the job.")
        try:
            status = _settle(attempt, work)
        except StaleFence:
            log.warning("another owner has the job; nothing was written", extra={"job_id": job.id})
            return None
        hold.release()
        events.emit("status", status=status, failure=_failure_of(attempt, status))
    log.info("attempt over", extra={"job_id": job.id, "attempt": job.attempt, "status": status})
    return status


def _settle(attempt: Attempt, work: Work) -> Status:
    settings, claim = attempt.settings, attempt.claim
    try:
        succeed = work(attempt)
    except StoppedOnRequest:
        return _let_go(attempt)
    except GivenBack as error:
        why = error.why
        attempt.events.emit("log", level="warning", message=why.message)
        return attempt.record(
            lambda session: transitions.stopped(session, claim, why, settings.jobs.retry_seconds)
        )
    except StaleFence:
        raise
    except Exception as error:
        failure = failure_from(error)
        log.warning(
            "the attempt failed: %s",
            failure.message,
            extra={"job_id": attempt.job.id},
            exc_info=failure.code == FailureCode.INTERNAL,
        )
        return attempt.record(
            lambda session: transitions.fail_or_retry(
                session,
                claim,
                failure,
                max_crashes=settings.jobs.max_crashes,
                retry_seconds=settings.jobs.retry_seconds,
            )
        )
    try:
        attempt.finish(succeed)
    except StaleFence:
        # A cancel that was requested before the success could be recorded wins.
        return _let_go(attempt)
    return Status.FINISHED


def _let_go(attempt: Attempt) -> Status:
    if attempt.hold.wanted == Stop.LOST:
        raise StaleFence(job_id=attempt.claim.job_id, fence=attempt.claim.fence)
    return attempt.record(lambda session: transitions.stopped(session, attempt.claim))


def _failure_of(attempt: Attempt, status: Status) -> dict[str, str] | None:
    if status != Status.FAILED:
        return None
    return failure_of(attempt.record(lambda session: jobs.get(session, attempt.job.id)))


def failure_from(error: Exception) -> Failure:
    """What an error that ends an attempt is published as."""
    if isinstance(error, JobFailed):
        return error.failure
    if isinstance(error, AcademyError):
        known = error.code in set(FailureCode)
        code = FailureCode(error.code) if known else FailureCode.INTERNAL
        return Failure(code, str(error), error.next_step)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return Failure(
            FailureCode.STORAGE,
            f"{error.filename or 'A file'} could not be written: {error.strerror}.",
            "Free space on that disk.",
        )
    if isinstance(error, MemoryError):
        return Failure(FailureCode.OUT_OF_MEMORY, "The worker ran out of memory.", "Ask for less.")
    return Failure(
        FailureCode.INTERNAL,
        f"{type(error).__name__}: {error}",
        "This is a fault of Academy's own; the worker's log has the details.",
    )
