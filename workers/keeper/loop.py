"""The keeper's loop: every duty in turn, whatever becomes of the others."""

from __future__ import annotations

import logging
import threading

import redis

from academy.errors import AcademyError
from academy.settings import Settings
from academy.store.engine import Sessions, StoreError
from workers.keeper.advance_sweeps import AdvanceSweeps
from workers.keeper.close_events import CloseEvents
from workers.keeper.collect_garbage import CollectGarbage
from workers.keeper.drop_streams import DropStreams
from workers.keeper.duty import Context, Duty
from workers.keeper.fire_schedules import FireSchedules
from workers.keeper.forget_hints import ForgetHints
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
    RemoveOrphans,
    RepeatHints,
    CloseEvents,
    DropStreams,
    ForgetHints,
    CollectGarbage,
)


class Keeper:
    """One keeper. `sweep` does everything once; `run` does it until told to stop."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._seconds = settings.jobs.keeper_seconds
        self._context = Context.of(settings, sessions)
        self._duties = [duty(self._context) for duty in DUTIES]

    def run(self, stopping: threading.Event) -> None:
        """Sweep every ``keeper_seconds`` until `stopping` is set."""
        while not stopping.is_set():
            self.sweep()
            stopping.wait(self._seconds)

    def sweep(self) -> None:
        """Every duty once; one that fails does not keep the others from being done."""
        for duty in self._duties:
            try:
                duty.do()
            except StoreError as error:
                self._context.steadiness.end()
                log.warning("Postgres failed %s: %s", duty.name, type(error).__name__)
                return
            except (redis.RedisError, OSError) as error:
                log.warning("Redis failed %s: %s", duty.name, error)
            except AcademyError as error:
                log.warning("%s failed: %s", duty.name, error)
            except Exception:
                # One damaged row or event must not keep a keeper from its other duties.
                log.exception("%s failed", duty.name)
