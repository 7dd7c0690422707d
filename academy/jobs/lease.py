"""Holding a claimed job: the lease is renewed in a thread, and its answers are heard.

The renewal goes through Postgres, so cancel, pause and drain work with Redis down. While Postgres
cannot be reached the work goes on blind, for a limited time.
"""

from __future__ import annotations

import logging
import threading
import time
from enum import StrEnum
from typing import Any, Protocol

from academy.errors import StaleFence
from academy.lifecycle import Status
from academy.settings import Settings
from academy.store.engine import Session, Sessions, StoreError
from academy.store.jobs import leases
from academy.store.jobs.transitions import Claim

log = logging.getLogger(__name__)


class Stop(StrEnum):
    """Why the owner of a job is asked to stop."""

    CANCEL = "cancel"  # a client cancelled the job; nothing needs to be kept
    PAUSE = "pause"  # a client paused it; a checkpoint comes first
    DRAIN = "drain"  # this worker shuts down; a checkpoint comes first
    LOST = "lost"  # somebody else has the job, or nobody knows; stop at once and write nothing


class Lease(Protocol):
    """What is kept alive: a job (`academy.store.jobs.leases`), or a part in one (`…gangs`)."""

    def renew(
        self,
        session: Session,
        held: Claim,
        lease_seconds: float,
        progress: dict[str, Any] | None = None,
    ) -> Status:
        """Prolong it; the answer is the job's status. Raises `StaleFence`."""

    def status(self, session: Session, held: Claim) -> Status:
        """The job's status; raises `StaleFence`."""


class Hold:
    """Keeps a claim alive while used as a context manager.

    `wanted` says why to stop, if so; `progress` is stored with each renewal.
    """

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        claim: Claim,
        draining: threading.Event,
        lease: Lease = leases,
    ) -> None:
        self.claim = claim
        self.progress: dict[str, Any] | None = None
        self._settings = settings
        self._sessions = sessions
        self._draining = draining
        self._lease = lease
        self._wanted: Stop | None = None
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> Hold:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
        self._thread.join(self._settings.postgres.timeout_seconds + 5)

    def release(self) -> None:
        """The job was given up or ended; its lease is no longer ours to keep."""
        self._released.set()

    @property
    def wanted(self) -> Stop | None:
        """Why to stop, or None. What was wanted once stays wanted; a loss overrides all."""
        if self._wanted is None and self._draining.is_set():
            return Stop.DRAIN
        return self._wanted

    def _run(self) -> None:
        # Between renewals the status is only read, so that a cancel is heard sooner.
        look = self._settings.jobs.look_seconds
        heard_at = renewed_at = time.monotonic()
        while not self._released.wait(look):
            renewal_is_due = (
                time.monotonic() - renewed_at >= self._settings.jobs.heartbeat_seconds - look / 2
            )
            try:
                with self._sessions.begin() as session:
                    if renewal_is_due:
                        status = self._lease.renew(
                            session, self.claim, self._settings.jobs.lease_seconds, self.progress
                        )
                        renewed_at = time.monotonic()
                    else:
                        status = self._lease.status(session, self.claim)
                heard_at = time.monotonic()
            except StaleFence:
                if self._released.is_set():
                    return  # we ended it ourselves, a moment ago
                self._wanted = Stop.LOST
                log.warning("the job was taken away", extra={"job_id": self.claim.job_id})
                return
            except StoreError as error:
                blind = time.monotonic() - heard_at
                log.warning(
                    "the lease cannot be renewed now: %s",
                    type(error).__name__,
                    extra={"job_id": self.claim.job_id, "blind_seconds": round(blind, 1)},
                )
                if blind > self._settings.jobs.blind_seconds:
                    self._wanted = Stop.LOST
                    return
                continue
            if status == Status.CANCELLING:
                self._wanted = Stop.CANCEL
            elif status == Status.PAUSING and self._wanted is None:
                self._wanted = Stop.PAUSE
