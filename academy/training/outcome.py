"""What the end of a trainer means: its exit status and its last words become a failure code."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

from academy.lifecycle import FailureCode
from academy.store.jobs.transitions import Failure
from academy.training.launchers.order import Ended

# The trainer's documented exit statuses (docs/training.md).
DONE, OTHER, BAD_SPEC, CANCELLED, OUT_OF_MEMORY = 0, 1, 2, 3, 4


def failure_of(ended: Ended, error: dict[str, Any] | None, last_lines: Sequence[str]) -> Failure:
    """The failure behind an end that is not success.

    `error` is the trainer's own ``error`` message, if it could still send one; `last_lines` are the
    end of its standard error.
    """
    tail = " | ".join(last_lines[-5:]) or "it printed nothing"
    exit_status = ended.status
    if error is not None:
        return Failure(
            _code(error.get("code"), exit_status),
            str(error.get("message") or tail),
            str(error.get("next_step") or "Look into its log (`academy logs JOB`)."),
        )
    if ended.out_of_memory:
        return Failure(
            FailureCode.OUT_OF_MEMORY,
            f"The container passed its memory limit and was ended. Its last lines: {tail}",
            "Choose a smaller batch_size or max_seq_length, or raise limits.memory_bytes.",
        )
    # An interpreter that gets no memory while it starts can say so by its traceback only.
    if exit_status == OUT_OF_MEMORY or any(line.startswith("MemoryError") for line in last_lines):
        return Failure(
            FailureCode.OUT_OF_MEMORY,
            f"The trainer ran out of memory. Its last lines: {tail}",
            "Choose a smaller batch_size or max_seq_length, or raise limits.memory_bytes.",
        )
    if exit_status < 0:
        name = signal.Signals(-exit_status).name
        return Failure(
            FailureCode.TRAINER_CRASHED,
            f"The trainer was ended by {name}. Its last lines: {tail}",
            "If nobody sent it, the kernel may have been short of memory: see `dmesg`.",
        )
    return Failure(
        FailureCode.TRAINER_CRASHED,
        f"The trainer ended with status {exit_status} and no result. Its last lines: {tail}",
        "Look into its log (`academy logs JOB`); the last lines name the cause.",
    )


def _code(text: Any, exit_status: int) -> FailureCode:
    try:
        return FailureCode(str(text))
    except ValueError:
        by_status = {BAD_SPEC: FailureCode.BAD_SPEC, OUT_OF_MEMORY: FailureCode.OUT_OF_MEMORY}
        return by_status.get(exit_status, FailureCode.TRAINER_CRASHED)
