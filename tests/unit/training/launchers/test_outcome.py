"""How a trainer's end becomes a failure code."""

from __future__ import annotations

import signal

import pytest

from academy.lifecycle import FailureCode
from academy.training.launchers.container import ended
from academy.training.launchers.order import Ended
from academy.training.outcome import failure_of


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ({"ExitCode": 0, "OOMKilled": False}, Ended(0)),
        ({"ExitCode": 3, "OOMKilled": False}, Ended(3)),
        ({"ExitCode": 137, "OOMKilled": False}, Ended(-signal.SIGKILL)),
        ({"ExitCode": 143}, Ended(-signal.SIGTERM)),
        ({"ExitCode": 137, "OOMKilled": True}, Ended(-signal.SIGKILL, out_of_memory=True)),
        # A child was killed for memory and the trainer coped.
        ({"ExitCode": 0, "OOMKilled": True}, Ended(0)),
        ({"ExitCode": 255}, Ended(255)),
        ({"ExitCode": None}, Ended(0)),
    ],
)
def test_a_containers_end_is_told_as_that_of_a_process(
    state: dict[str, object], end: Ended
) -> None:
    assert ended(state) == end


@pytest.mark.parametrize(
    ("end", "lines", "code", "said"),
    [
        (Ended(4), [], FailureCode.OUT_OF_MEMORY, "batch_size"),
        (Ended(-9, out_of_memory=True), [], FailureCode.OUT_OF_MEMORY, "limits.memory_bytes"),
        (Ended(1), ["MemoryError"], FailureCode.OUT_OF_MEMORY, "limits.memory_bytes"),
        (Ended(-9), [], FailureCode.TRAINER_CRASHED, "dmesg"),
        (Ended(-64), [], FailureCode.TRAINER_CRASHED, "dmesg"),
        (Ended(1), ["a word"], FailureCode.TRAINER_CRASHED, "log"),
        (Ended(0), [], FailureCode.TRAINER_CRASHED, "log"),
    ],
)
def test_an_end_without_a_word_has_a_code_by_its_status(
    end: Ended, lines: list[str], code: FailureCode, said: str
) -> None:
    failure = failure_of(end, None, lines)
    assert failure.code == code
    assert said in failure.next_step


def test_what_the_trainer_said_itself_comes_first() -> None:
    error = {"code": "diverged", "message": "NaN in step 3", "next_step": "Lower learning_rate."}
    failure = failure_of(Ended(1, out_of_memory=True), error, [])
    assert (failure.code, failure.message) == (FailureCode.DIVERGED, "NaN in step 3")
