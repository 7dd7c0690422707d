"""A worker's part in a training that another worker leads: stage, start, watch, leave.

The leader alone publishes checkpoints and the adapter and writes the job's events. A member's
trainer never hears a signal: a stop is agreed upon by the processes themselves, and the member
kills what is left when its part is over.
"""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any

from academy.artifacts.store import ArtifactStore
from academy.errors import StaleFence
from academy.host.gpu_watch import GpuWatch
from academy.jobs.attempt import Attempt, JobFailed, StoppedOnRequest, failure_from
from academy.jobs.lease import Hold, Stop
from academy.lifecycle import MemberStatus
from academy.settings import Settings
from academy.store.engine import Sessions, StoreError
from academy.store.jobs import gangs, jobs
from academy.store.jobs.gangs import Part
from academy.store.jobs.transitions import Failure
from academy.training import outcome, staging
from academy.training.gang import own_address
from academy.training.launch import Launch, Limits, grant
from academy.training.launchers.choice import start_trainer
from academy.training.launchers.limits import TimeLimits
from academy.training.launchers.order import Trainer, TrainerOrder
from academy.training.work_folder import work_folder

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1


def take_part(
    settings: Settings, sessions: Sessions, part: Part, draining: threading.Event
) -> MemberStatus:
    """Do a worker's part in an attempt under its lease, record how it ended, and return that."""
    claim = part.claim
    with sessions() as session:
        job = jobs.get(session, claim.job_id)
    with Hold(settings, sessions, claim, draining, lease=gangs) as hold:
        events = _MemberLog(job.id)
        attempt = Attempt(settings, sessions, ArtifactStore(settings), job, claim, events, hold)
        failure: Failure | None = None
        try:
            status = _take_part(attempt, part)
        except (StoppedOnRequest, StaleFence):
            status = MemberStatus.LEFT
        except Exception as error:
            status, failure = MemberStatus.FAILED, failure_from(error)
            log.warning(
                "the part failed: %s", failure.message, extra={"job_id": job.id}, exc_info=True
            )
        hold.release()
        told = None if failure is None else failure.body()
        attempt.record(lambda session: gangs.end(session, claim, status, told))
    log.info("part over", extra={"job_id": job.id, "attempt": job.attempt, "status": status})
    return status


class _MemberLog:
    """What a member's trainer prints stands in the worker's log; the job's is the leader's."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id

    def emit(self, type: str, **fields: Any) -> None:
        if type == "log":
            level = logging.WARNING if fields.get("level") == "warning" else logging.DEBUG
            log.log(level, "%s", fields.get("message"), extra={"job_id": self._job_id})


def _take_part(attempt: Attempt, part: Part) -> MemberStatus:
    job, settings = attempt.job, attempt.settings
    granted = grant(Launch.model_validate(job.launch or {}), settings)
    # A host may have two names, or a home be shared: the leader's folder is another one.
    with work_folder(settings.home, f"{job.id}@{part.place}", job.attempt) as folder:
        spec = staging.stage(attempt, granted.limits)
        attempt.check()
        attempt.record(lambda session: gangs.take_up(session, part.claim))
        told = _until_told(attempt)
        if told["resume_from"] is not None:
            spec["resume_from"] = staging.fetch_checkpoint(attempt, told["resume_from"])
        spec["gang"] = {
            "place": part.place,
            "address": own_address(settings),
            "rendezvous": told["rendezvous"],
        }
        with GpuWatch(part.devices, settings.jobs.heartbeat_seconds) as gpus:
            order = TrainerOrder(
                part.claim, granted, spec, folder, gpus.environment, gpus=part.devices
            )
            return _train(attempt, order, gpus, folder, granted.limits)


def _until_told(attempt: Attempt) -> dict[str, Any]:
    """Wait for the leader's word. It ends when the leader's attempt does, which is bounded."""
    while True:
        attempt.check()
        told = attempt.record(lambda session: gangs.told(session, attempt.claim))
        if told is not None:
            return told
        time.sleep(attempt.settings.jobs.look_seconds)


def _train(
    attempt: Attempt, order: TrainerOrder, gpus: GpuWatch, folder: Path, limits: Limits
) -> MemberStatus:
    with start_trainer(attempt.settings, order, attempt.events) as trainer:
        error = _watch(attempt, trainer, TimeLimits(limits, trainer), gpus)
        ended = trainer.end(grace_seconds=1.0)
    if ended.status == outcome.DONE:
        return MemberStatus.DONE
    if ended.status == outcome.CANCELLED or attempt.hold.wanted is not None:
        return MemberStatus.LEFT
    gpus.look()
    raise JobFailed(outcome.failure_of(ended, error, list(trainer.last_noise)))


def _watch(
    attempt: Attempt, trainer: Trainer, limits: TimeLimits, gpus: GpuWatch
) -> dict[str, Any] | None:
    """Follow the trainer to its end; its own error, if it said one."""
    error = None
    said = False
    kill_at: float | None = None
    while not trainer.is_over:
        message = trainer.next_message(timeout_seconds=_POLL_SECONDS)
        if message is not None and message["type"] == "error":
            error = message
        wanted = attempt.hold.wanted
        if wanted is not None and kill_at is None:
            kill_at = time.monotonic() + attempt.settings.jobs.pause_grace_seconds
        if wanted == Stop.DRAIN and not said:
            said = _ask_to_leave(attempt)
        if wanted == Stop.LOST or (kill_at is not None and time.monotonic() > kill_at):
            trainer.kill()
        if (broken := limits.broken()) is not None:
            trainer.kill()
            raise JobFailed(broken)
        gpus.check()
    return error


def _ask_to_leave(attempt: Attempt) -> bool:
    """Have the leader stop everybody after a checkpoint; whether that was recorded."""
    try:
        with attempt.sessions.begin() as session:
            gangs.ask_to_leave(session, attempt.claim)
    except StaleFence:
        return True  # the hold finds out by itself
    except StoreError as error:
        log.warning("leaving is said later: %s", type(error).__name__)
        return False
    return True
