"""The limits on time, watched by the supervisor in the same way for every launcher."""

from __future__ import annotations

import time

from academy.lifecycle import FailureCode
from academy.store.jobs.transitions import Failure
from academy.training.launch import Limits
from academy.training.launchers.order import Trainer

_LOOK_SECONDS = 1.0


class TimeLimits:
    """Says when a trainer has used up its wall-clock time or its CPU time.

    CPU time is that of everything that belongs to the trainer, which a limit of the kernel
    (RLIMIT_CPU counts each process for itself) would not see.
    """

    def __init__(self, limits: Limits, trainer: Trainer) -> None:
        self._limits = limits
        self._trainer = trainer
        self._over_at = time.monotonic() + limits.wall_seconds
        self._look_at = time.monotonic()

    def broken(self) -> Failure | None:
        """The failure if a limit is passed. Ask often; the CPU time is read once a second."""
        now = time.monotonic()
        if now > self._over_at:
            return Failure(
                FailureCode.TIMEOUT,
                f"The training ran longer than {self._limits.wall_seconds:g} seconds.",
                "Train fewer steps, or raise limits.wall_seconds or ACADEMY_JOB_TIMEOUT_SECONDS.",
            )
        most = self._limits.cpu_seconds
        if most is None or now < self._look_at:
            return None
        self._look_at = now + _LOOK_SECONDS
        used = self._trainer.cpu_seconds()
        if used <= most:
            return None
        return Failure(
            FailureCode.CPU_TIME_EXCEEDED,
            f"The training took {used:.1f} seconds of CPU time, but {most:g} are allowed.",
            "Train fewer steps, or raise limits.cpu_seconds or ACADEMY_TRAINER_CPU_SECONDS.",
        )
