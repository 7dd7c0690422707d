"""The real processes of a stack: started, killed, frozen, and counted afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil

from academy.host.processes import end_group, spawn
from tests.waiting import until
from tests.warm.python import WarmPython

#: A process dies with the thread that started it, and threads of a test come and go: one that lives
#: as long as the harness starts them all.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")


class Program:
    """One process of Academy, with a log of its own; it can be started again after its end.

    It starts cold, as a user's does, unless a warm Python is given.
    """

    def __init__(
        self,
        name: str,
        module: list[str],
        env: Mapping[str, str],
        log: Path,
        warm: WarmPython | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._start = (
            partial(spawn, [sys.executable, "-m", *module])
            if warm is None
            else partial(warm.start, *module)
        )
        self._env = {**os.environ, **env}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> Program:
        """Start it if it does not run; what it says is appended to its log."""
        if not self.is_running:
            _starter.submit(self._spawn).result(timeout=30)
        return self

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process alone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def freeze(self) -> None:
        """SIGSTOP, and wait until the kernel says that it stands still."""
        self.send(signal.SIGSTOP)
        until(lambda: psutil.Process(self.pid).status() == "stopped", 10, f"{self.name} stands")

    def thaw(self) -> None:
        """SIGCONT."""
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=30)

    def kill_at_once(self) -> None:
        """SIGKILL to it and to its children in one breath, for a kill at an exact moment."""
        family = [self.pid, *(each.pid for each in psutil.Process(self.pid).children())]
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """Continue it if it was stopped, ask it to end, and kill what is left."""
        if self._process is not None:
            self.send(signal.SIGCONT)
            end_group(self._process, grace_seconds=15)

    def _spawn(self) -> None:
        with self.log.open("ab") as output:
            self._process = self._start(env=self._env, stdout=output, stderr=output)


def processes_of(home: Path) -> Iterator[psutil.Process]:
    """Every live process on this machine whose environment names this home."""
    for each in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if each.status() == psutil.STATUS_ZOMBIE:
                continue
            if each.environ().get("ACADEMY_HOME") == str(home):
                yield each
