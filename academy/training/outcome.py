"""What the end of a trainer means: its exit status and its last words become a failure code."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Any

from academy.lifecycle import FailureCode
from academy.store.transitions import Failure

# The trainer's documented exit statuses (docs/training.md).
DONE, OTHER, BAD_SPEC, CANCELLED, OUT_OF_MEMORY = 0, 1, 2, 3, 4


def failure_of(
    exit_status: int, error: dict[str, Any] | None, last_lines: Sequence[str]
) -> Failure:
    """The failure behind an exit status that is not success.

    `error` is the trainer's own ``error`` message, if it could still send one; `last_lines` are the
    end of its standard error.
    """
    tail = " | ".join(last_lines[-5:]) or "it printed nothing"
    if error is not None:
        return Failure(
            _code(error.get("code"), exit_status),
            str(error.get("message") or tail),
            str(error.get("next_step") or "Look into the job's log."),
        )
    if exit_status == OUT_OF_MEMORY:
        return Failure(
            FailureCode.OUT_OF_MEMORY,
            f"The trainer ran out of memory. Its last lines: {tail}",
            "Choose a smaller batch_size or max_seq_length.",
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
        "Look into the job's log; the last lines name the cause.",
    )


def _code(text: Any, exit_status: int) -> FailureCode:
    try:
        return FailureCode(str(text))
    except ValueError:
        by_status = {BAD_SPEC: FailureCode.BAD_SPEC, OUT_OF_MEMORY: FailureCode.OUT_OF_MEMORY}
        return by_status.get(exit_status, FailureCode.TRAINER_CRASHED)
