"""Carrying a claimed training through: stage, start the trainer, watch it, note its result."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from academy.artifacts.manifest import ManifestMissing
from academy.artifacts.store import StorageFailure
from academy.errors import DigestMismatch, StaleFence
from academy.host.gpu_watch import GpuWatch
from academy.jobs.attempt import Attempt, JobFailed, StoppedOnRequest
from academy.jobs.lease import Stop
from academy.store.engine import Session, StoreError
from academy.store.jobs import leases
from academy.training import outcome, staging
from academy.training.gang import Gang
from academy.training.launch import Launch, Limits, grant
from academy.training.launchers.choice import start_trainer
from academy.training.launchers.limits import TimeLimits
from academy.training.launchers.order import Trainer, TrainerOrder
from academy.training.progress import ProgressFigures
from academy.training.result import TrainingResult, note_result, noted_result, record_result
from academy.training.work_folder import work_folder

log = logging.getLogger(__name__)

_ASK_AGAIN_SECONDS = 2.0
#: Checkpoints of a job that stay in the artifact store.
KEPT_CHECKPOINTS = 2


def train(attempt: Attempt) -> Callable[[Session], None]:
    """The work of a training job; returns what records its success (see `attempt.carry_out`)."""
    with work_folder(attempt.settings.home, attempt.job.id, attempt.job.attempt) as folder:
        result = noted_result(attempt.store, attempt.job.id)
        if result is None:
            result = _train(attempt, folder)
        else:
            attempt.events.emit(
                "log", level="info", message="An earlier attempt had finished; its result is taken."
            )
    return _recorder(attempt, result)


def _recorder(attempt: Attempt, result: TrainingResult) -> Callable[[Session], None]:
    def record(session: Session) -> None:
        record_result(session, attempt.claim, attempt.job, result)

    return record


def _train(attempt: Attempt, folder: Path) -> TrainingResult:
    granted = grant(Launch.model_validate(attempt.job.launch or {}), attempt.settings)
    gang = Gang(attempt)
    spec = staging.stage(attempt, granted.limits) | gang.place()
    going_on, spec["resume_from"] = staging.newest_checkpoint(attempt) or (None, None)
    attempt.check()
    gang.wait_until_ready()
    devices = tuple(attempt.job.devices)  # as reserved by the claim
    with GpuWatch(devices, attempt.settings.jobs.heartbeat_seconds) as gpus:
        order = TrainerOrder(attempt.claim, granted, spec, folder, gpus.environment, devices)
        with start_trainer(attempt.settings, order, attempt.events) as trainer:
            watch = _Watch(attempt, trainer, granted.limits, gpus, gang, going_on)
            watch.until_over()
            ended = trainer.end(grace_seconds=1.0)
    if watch.stop_wanted:
        raise StoppedOnRequest
    if ended.status != outcome.DONE or watch.result is None:
        gpus.look()
        failure = outcome.failure_of(ended, watch.error, list(trainer.last_noise))
        raise JobFailed(gang.cause_of(failure))
    attempt.hold.progress = watch.figures
    return note_result(attempt.store, attempt.job.id, watch.result)


class _Watch:
    """Follows one trainer until it is over, and stops it when the hold or a limit wants that."""

    def __init__(
        self,
        attempt: Attempt,
        trainer: Trainer,
        limits: Limits,
        gpus: GpuWatch,
        gang: Gang,
        going_on: dict[str, Any] | None,
    ) -> None:
        self.result: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.stop_wanted: Stop | None = None
        self.figures: dict[str, Any] | None = None
        self._attempt = attempt
        self._trainer = trainer
        self._limits = TimeLimits(limits, trainer)
        self._gpus = gpus
        self._gang = gang
        self._going_on = going_on
        self._progress = ProgressFigures()
        self._started = False
        self._kept: list[dict[str, Any]] = list((attempt.job.checkpoint or {}).get("kept", []))
        self._unrecorded = False

    def until_over(self) -> None:
        """Handle messages until the trainer has ended and everything it said was handled."""
        settings = self._attempt.settings
        ask_at = kill_at = math.inf
        while not self._trainer.is_over:
            message = self._trainer.next_message(timeout_seconds=0.1)
            if message is not None:
                self._handle(message)
            wanted = self._attempt.hold.wanted
            if wanted is None and self.stop_wanted is None and not self._is_ending:
                wanted = self._gang.wanted
            if wanted == Stop.LOST:
                self.stop_wanted = Stop.LOST
                self._trainer.kill()
            elif wanted is not None and self.stop_wanted is None and self.result is None:
                self.stop_wanted = wanted
                ask_at = time.monotonic()
                grace = (
                    settings.jobs.cancel_grace_seconds
                    if wanted == Stop.CANCEL
                    else settings.jobs.pause_grace_seconds
                )
                kill_at = ask_at + grace
            if time.monotonic() > kill_at:
                self._trainer.kill()
            elif time.monotonic() >= ask_at:
                # The first process of a container does not hear what comes before its handlers.
                self._trainer.ask_to_stop()
                ask_at = time.monotonic() + _ASK_AGAIN_SECONDS
            if (broken := self._limits.broken()) is not None:
                self._trainer.kill()
                raise JobFailed(broken)
            if self.result is None:
                self._gpus.check()

    @property
    def _is_ending(self) -> bool:
        """Whether the trainer has said how it ends; what other hosts say cannot change that."""
        return self.result is not None or self.error is not None

    def _handle(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "checkpoint":
            self._keep(message)
        elif kind == "result":
            self.result = message
        elif kind == "error":
            self.error = message
        elif kind == "rendezvous":
            self._gang.tell(message["address"], self._going_on)
        else:
            self.figures = self._attempt.hold.progress = self._progress.add(message)
            if not self._started:
                self._start()
        if self._unrecorded:
            self._record_checkpoints()

    def _start(self) -> None:
        """Preparing to running; a cancel or pause that came first is left to the hold."""
        try:
            self._attempt.try_to_start()
        except StaleFence:
            pass
        except StoreError as error:
            log.warning(
                "the start is recorded later: %s",
                type(error).__name__,
                extra={"job_id": self._attempt.job.id},
            )
            return
        self._started = True

    def _keep(self, message: dict[str, Any]) -> None:
        """Publish a checkpoint; a store that refuses costs the checkpoint, not the training."""
        attempt = self._attempt
        try:
            key = attempt.store.publish(Path(message["path"]), f"checkpoints/{attempt.job.id}")
        except (StorageFailure, ManifestMissing, DigestMismatch) as error:
            attempt.events.emit("log", level="warning", message=f"A checkpoint was lost: {error}")
            return
        self._kept.insert(0, {"step": message["step"], "key": key, "digest": message["digest"]})
        self._unrecorded = True

    def _delete(self, key: str) -> None:
        """Remove an old checkpoint; a store that refuses costs space, not the training."""
        try:
            self._attempt.store.delete(key)
        except StorageFailure as error:
            log.warning("%s", error, extra={"job_id": self._attempt.job.id})

    def _record_checkpoints(self) -> None:
        attempt = self._attempt
        newest = self._kept[0]
        document = {**newest, "kept": self._kept[:KEPT_CHECKPOINTS]}
        try:
            with attempt.sessions.begin() as session:
                leases.record_checkpoint(session, attempt.claim, document)
        except StoreError as error:
            log.warning(
                "a checkpoint is recorded later: %s",
                type(error).__name__,
                extra={"job_id": attempt.job.id},
            )
            return
        except StaleFence:
            return  # the hold finds out by itself and stops the trainer
        self._unrecorded = False
        kept = {each["key"] for each in self._kept[:KEPT_CHECKPOINTS]}
        for old in self._kept[KEPT_CHECKPOINTS:]:
            if old["key"] not in kept:
                self._delete(old["key"])
        del self._kept[KEPT_CHECKPOINTS:]
