"""Noticing processes that run and do nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from academy.embedded import watchdog
from academy.embedded.watchdog import Hung, Watchdog, Watched
from tests.waiting import until


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "POLL_SECONDS", 0.02)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    started = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield started
    started.kill()
    started.communicate()


def test_a_stopped_process_hangs_until_it_goes_on(process: subprocess.Popen[bytes]) -> None:
    with Watchdog() as dog:
        dog.watch(Watched("it", lambda: process.pid, None, patience_seconds=0.1))
        process.send_signal(signal.SIGSTOP)
        until(lambda: bool(dog.hung()), 20, "it is noticed")
        [hung] = dog.hung()
        assert (hung.name, hung.pid, hung.why) == ("it", process.pid, "is stopped")
        assert hung.seconds > 0.1
        process.send_signal(signal.SIGCONT)
        until(lambda: not dog.hung(), 20, "it is well again")


def test_a_process_that_answered_once_hangs_when_it_does_not(
    process: subprocess.Popen[bytes],
) -> None:
    asked, answers = threading.Event(), threading.Event()
    answers.set()

    def ask() -> bool:
        asked.set()
        if not answers.is_set():
            raise OSError("nobody answers")
        return True

    with Watchdog() as dog:
        dog.watch(Watched("it", lambda: process.pid, ask, patience_seconds=0.1))
        assert asked.wait(20)
        assert dog.hung() == []
        answers.clear()
        until(lambda: [each.why for each in dog.hung()] == ["does not answer"], 20, "noticed")


def test_a_process_that_never_answered_is_still_starting(
    process: subprocess.Popen[bytes],
) -> None:
    asked = 0

    def ask() -> bool:
        nonlocal asked
        asked += 1
        return False

    with Watchdog() as dog:
        dog.watch(Watched("it", lambda: process.pid, ask, patience_seconds=0.0))
        until(lambda: asked > 10, 20, "it was asked often")
        assert dog.hung() == []


def test_the_next_process_begins_anew(process: subprocess.Popen[bytes]) -> None:
    pids: list[int | None] = [process.pid]
    with Watchdog() as dog:
        dog.watch(Watched("it", lambda: pids[0], None, patience_seconds=0.0))
        process.send_signal(signal.SIGSTOP)
        until(lambda: bool(dog.hung()), 20, "it is noticed")
        found: list[Hung] = dog.hung()
        assert found[0].pid == process.pid
        pids[0] = None
        until(lambda: not dog.hung(), 20, "there is none to hang")
