"""A Python whose programs start at once: forked from a process that imported the libraries before.

Importing torch and transformers takes a trainer six seconds of processor time, a worker or an API
two and a command half a one, which a test that is not about the start need not spend.
`WarmPython.start` starts a program for a test. `WarmPython.executable` is for programs that start
others: what it is given with ``-m`` is warm, everything else is cold.

A process that was started by the executable only stands for the program: it takes its streams,
folder, environment and limits along and passes signals on, and both end together. What it cannot
pass on are SIGSTOP and what the kernel counts; a test that freezes or measures such a program
starts a cold one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from academy.host.processes import end_group, spawn
from tests.warm.client import ask

#: What a trainer and a model server import, the model's own code included.
TRAINERS = (
    "academy.trainer.job",
    "academy.trainer.ranks.local_ranks",
    "academy.runtime.serving",
    "transformers.models.llama.modeling_llama",
    "peft",
)
#: What workers and keepers import.
WORKERS = (
    "workers.tasks",
    "workers.keeper.loop",
    "academy.curation.supervisor",
    "academy.training.supervisor",
    "celery.apps.worker",
    "celery.bin.worker",
    "celery.concurrency.solo",
    "celery.fixups.django",
    "kombu.transport.redis",
)
#: What the API imports, after gevent has replaced the calls that block.
APIS = (
    "--gevent",
    "academy.api.server",
    "academy.api.app",
    "gunicorn.workers.ggevent",
)
#: What the command `academy` imports for one or another of its words.
COMMANDS = (
    "academy.cli.app",
    "academy.cli.doctor.checks",
    "academy.cli.preflight",
    "academy.cli.sweeps",
    "academy.client",
    "academy.store.migrate",
)

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
#: The first program waits until the libraries are imported.
_START_SECONDS = 120
_numbers = itertools.count(1)


class WarmPython:
    """The process that programs are forked from."""

    def __init__(self, folder: Path, modules: Sequence[str]) -> None:
        self.executable = folder / "python"
        # An abstract one: the path of a socket in a test's folder may be too long.
        self._name = f"warm-python-{os.getpid()}-{next(_numbers)}"
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as ear,
            (folder / "server.log").open("wb") as log,
        ):
            ear.bind("\0" + self._name)
            ear.listen(64)
            self._process = spawn(
                [sys.executable, "-u", "-m", "tests.warm.server", str(ear.fileno()), *modules],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                cwd=_ROOT,
                stdout=log,
                stderr=log,
                pass_fds=[ear.fileno()],
            )
        cold = shlex.quote(sys.executable)
        client = f"{cold} -I -S {shlex.quote(str(_HERE / 'client.py'))} {self._name}"
        self.executable.write_text(
            f'#!/bin/sh\n[ "$1" != -m ] || exec {client} "$@"\nexec {cold} "$@"\n'
        )
        self.executable.chmod(0o755)

    def start(
        self,
        module: str,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
    ) -> WarmProcess:
        """What ``spawn([sys.executable, "-m", module, …])`` starts, in a group of its own."""
        streams = _Streams(stdin, stdout, stderr)
        environment = os.environ if env is None else env
        try:
            door = ask(
                self._name,
                ["-m", module, *arguments],
                environment,
                str(cwd or Path.cwd()),
                dict(enumerate(streams.theirs)),
            )
        finally:
            streams.close_theirs()
        door.settimeout(_START_SECONDS)
        return WarmProcess(door, streams)

    def run(
        self, module: str, *arguments: str, env: Mapping[str, str], timeout_seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """What `start` starts, once it has ended, and what it said."""
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            process = self.start(module, *arguments, env=env, stdout=stdout, stderr=stderr)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout_seconds)
            is_over = process.poll() is not None
            process.kill()
            said = []
            for each in (stdout, stderr):
                each.seek(0)
                said.append(each.read().decode(errors="replace"))
        words = [module, *arguments]
        assert is_over, f"{words} did not end within {timeout_seconds} s: {said}"
        return subprocess.CompletedProcess(words, process.wait(), *said)

    def with_warm_children(self, module: str) -> list[str]:
        """The words that start a module cold, whose own children of this Python are warm."""
        code = (
            f"import runpy, sys; sys.executable = {str(self.executable)!r}; "
            f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
        )
        return [sys.executable, "-c", code]

    def __enter__(self) -> WarmPython:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, and with it every program that it started."""
        end_group(self._process, grace_seconds=0)


class WarmProcess(subprocess.Popen[bytes]):
    """A warm program, as a `Popen`; it is a child of the server's, so its status comes by it."""

    def __init__(self, door: socket.socket, streams: _Streams) -> None:
        self._door = door
        self.stdin, self.stdout, self.stderr = streams.ours
        self.args = "a warm program"
        self.returncode: int | None = None  # type: ignore[assignment]
        self.pid = int(door.recv(16))

    def poll(self) -> int | None:
        return self._status(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return status

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended, as in `subprocess`
                os.kill(self.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __del__(self) -> None:  # `Popen` would ask the kernel about a process that is no child
        self._door.close()

    def _status(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._door.settimeout(timeout)
            try:
                self.returncode = int(self._door.recv(16) or -signal.SIGKILL)
            except (TimeoutError, BlockingIOError):
                return None
            self._door.close()
        return self.returncode


class _Streams:
    """The three streams of a program, as `Popen` takes them."""

    def __init__(self, *wanted: int | IO[Any] | None) -> None:
        self.ours: list[IO[bytes] | None] = []
        self.theirs: list[int] = []
        self._opened: list[int] = []
        for number, each in enumerate(wanted):
            ours, theirs = None, number
            if each == subprocess.PIPE:
                read, write = os.pipe()
                ours = os.fdopen(write, "wb", 0) if number == 0 else os.fdopen(read, "rb")
                theirs = self._open(read if number == 0 else write)
            elif each == subprocess.DEVNULL:
                theirs = self._open(os.open(os.devnull, os.O_RDWR))
            elif each == subprocess.STDOUT:
                theirs = self.theirs[1]
            elif each is not None:
                theirs = each if isinstance(each, int) else each.fileno()
            self.ours.append(ours)
            self.theirs.append(theirs)

    def _open(self, number: int) -> int:
        self._opened.append(number)
        return number

    def close_theirs(self) -> None:
        for each in self._opened:
            os.close(each)
