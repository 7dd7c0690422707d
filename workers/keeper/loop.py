"""The keeper's loop: every duty in turn, whatever becomes of the others."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from pathlib import Path

import redis

from academy.errors import AcademyError
from academy.settings import Settings
from academy.store.engine import Sessions, StoreError
from academy.store.jobs import keepers
from academy.webhooks.deliverer import Deliverer
from workers.keeper.advance_sweeps import AdvanceSweeps
from workers.keeper.close_events import CloseEvents
from workers.keeper.collect_garbage import CollectGarbage
from workers.keeper.drop_streams import DropStreams
from workers.keeper.duty import Context, Duty
from workers.keeper.fire_schedules import FireSchedules
from workers.keeper.forget_changes import ForgetChanges
from workers.keeper.forget_deliveries import ForgetDeliveries
from workers.keeper.forget_hints import ForgetHints
from workers.keeper.forget_logs import ForgetLogs
from workers.keeper.move_logs import MoveLogs
from workers.keeper.note_lost_workers import NoteLostWorkers
from workers.keeper.publish_hints import PublishHints
from workers.keeper.reap_leases import ReapLeases
from workers.keeper.remove_orphans import RemoveOrphans
from workers.keeper.repeat_hints import RepeatHints

log = logging.getLogger(__name__)

#: In their order within a sweep: what makes jobs comes before what announces them.
DUTIES: tuple[type[Duty], ...] = (
    FireSchedules,
    AdvanceSweeps,
    PublishHints,
    ReapLeases,
    NoteLostWorkers,
    RemoveOrphans,
    RepeatHints,
    CloseEvents,
    DropStreams,
    ForgetHints,
    ForgetDeliveries,
    ForgetChanges,
    ForgetLogs,
    MoveLogs,
    CollectGarbage,
)


#: How often a keeper notes at most that it sweeps.
_NOTE_SECONDS = 1.0
#: The longest time between two beats while nothing is to be done.
_BEAT_SECONDS = 10.0


class Keeper:
    """One keeper. `sweep` does everything once; `run` does it until told to stop.

    It touches the file `beat`, if there is one, before every duty: whoever started it knows by its
    age whether it hangs.
    """

    def __init__(self, settings: Settings, sessions: Sessions, beat: Path | None = None) -> None:
        self._settings = settings
        self._host = settings.host_name
        self._id = f"{self._host}:{os.getpid()}:{secrets.token_hex(4)}"
        self._seconds = settings.jobs.keeper_seconds
        self._context = Context.of(settings, sessions)
        self._duties = [duty(self._context) for duty in DUTIES]
        self._beat = beat
        self._noted = 0.0

    def run(self, stopping: threading.Event) -> None:
        """Sweep every ``keeper_seconds`` until `stopping` is set, and deliver webhooks meanwhile.

        Those wait for servers of others, so they are no duty: it would hold up what comes after it.
        """
        with Deliverer(self._settings):
            while not stopping.is_set():
                if self.sweep():
                    self._note()
                self._pause(stopping)
        try:
            with self._context.sessions.begin() as session:
                keepers.stopped(session, self._id)
        except StoreError as error:
            log.warning("Postgres was not told that this keeper ended: %s", type(error).__name__)

    def _pause(self, stopping: threading.Event) -> None:
        """Wait for the next sweep, with a beat now and then however long that is."""
        until = time.monotonic() + self._seconds
        while (left := until - time.monotonic()) > 0:
            self._touch()
            if stopping.wait(min(left, _BEAT_SECONDS)):
                return

    def _touch(self) -> None:
        if self._beat is not None:
            self._beat.touch()

    def sweep(self) -> bool:
        """Every duty once; one that fails does not keep the others from being done.

        Returns whether all were tried: without Postgres there is nothing to try.
        """
        for duty in self._duties:
            self._touch()
            try:
                duty.do()
            except StoreError as error:
                self._context.steadiness.end()
                log.warning("Postgres failed %s: %s", duty.name, type(error).__name__)
                return False
            except (redis.RedisError, OSError) as error:
                log.warning("Redis failed %s: %s", duty.name, error)
            except AcademyError as error:
                log.warning("%s failed: %s", duty.name, error)
            except Exception:
                # One damaged row or event must not keep a keeper from its other duties.
                log.exception("%s failed", duty.name)
        return True

    def _note(self) -> None:
        """Tell that it sweeps, for ``/status``."""
        if time.monotonic() - self._noted < _NOTE_SECONDS:
            return
        self._noted = time.monotonic()
        try:
            with self._context.sessions.begin() as session:
                keepers.swept(
                    session,
                    self._id,
                    host=self._host,
                    pid=os.getpid(),
                    interval_seconds=self._seconds,
                )
        except StoreError as error:
            log.warning("Postgres failed to note a sweep: %s", type(error).__name__)
