"""Noticing processes that run and do nothing, so that `academy up` starts them anew.

A process that was stopped (SIGSTOP), or that has locked itself up, does not die, so nobody would
start it again. Each process is asked by a thread of its own, because one that hangs answers none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

#: The pause between two questions to a process.
POLL_SECONDS = 2.0
#: So often in a row it must have failed: after a pause of ours, its last answer is old as well.
_FAILURES = 3
#: One that has not answered yet may still be starting.
_START_SECONDS = 180.0


@dataclass(frozen=True)
class Watched:
    """A process that should answer.

    `pid` gives its process as it is now, or None while there is none. `answers` asks it, within
    some seconds, and may raise `OSError`; None: it can be asked nothing.
    """

    name: str
    pid: Callable[[], int | None]
    answers: Callable[[], bool] | None
    patience_seconds: float


@dataclass(frozen=True)
class Hung:
    """A process that does nothing, why that is known, and for how long."""

    name: str
    pid: int
    why: str
    seconds: float


class Watchdog:
    """Looks after processes from threads of its own. Use as a context manager."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._hung: dict[str, Hung] = {}

    def __enter__(self) -> Watchdog:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._threads:
            each.join(timeout=10)

    def watch(self, watched: Watched) -> None:
        """Look after one more process, until the end."""
        thread = threading.Thread(
            target=self._look_after, args=(watched,), name=f"watch-{watched.name}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def hung(self) -> list[Hung]:
        """Those that hang now."""
        return list(self._hung.values())

    def _look_after(self, watched: Watched) -> None:
        known: int | None = None
        failures, well_at, has_answered = 0, 0.0, False
        while not self._over.wait(POLL_SECONDS):
            pid = watched.pid()
            if pid != known:
                self._hung.pop(watched.name, None)
                known, failures, well_at, has_answered = pid, 0, time.monotonic(), False
            if pid is None:
                continue
            why = "is stopped" if _is_stopped(pid) else ""
            if not why and watched.answers is not None:
                if _answers(watched.answers):
                    has_answered = True
                else:
                    why = "does not answer"
            if not why:
                failures, well_at = 0, time.monotonic()
                self._hung.pop(watched.name, None)
                continue
            failures += 1
            seconds = time.monotonic() - well_at
            is_starting = why != "is stopped" and not has_answered
            patience = _START_SECONDS if is_starting else watched.patience_seconds
            if failures >= _FAILURES and seconds > patience:
                self._hung[watched.name] = Hung(watched.name, pid, why, seconds)


def _is_stopped(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False  # it ended; who started it sees that


def _answers(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except OSError:
        return False
