"""Trainers that start at once: forked from a process that has imported their libraries already.

Importing torch and transformers takes a trainer some seconds of processor time, which a test that
is not about the start need not spend. Run as a program, this file is the process that is forked;
each request comes with the trainer's three streams and a socket that its exit status goes to.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from academy.host.parent import die_with_parent
from academy.host.processes import end_group, spawn

_LARGEST_REQUEST = 65_536
_STREAMS = 3


class WarmStarter:
    """The process that trainers are forked from."""

    def __init__(self, log: Path) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, log.open("wb") as output:
            self._process = spawn(
                [sys.executable, str(Path(__file__)), str(theirs.fileno())],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
            )

    def start(self, arguments: Sequence[str], stderr: IO[Any]) -> WarmTrainer:
        """A trainer with these arguments."""
        return WarmTrainer(self._ours, arguments, stderr)

    def close(self) -> None:
        self._ours.close()
        end_group(self._process, grace_seconds=10)


class WarmTrainer:
    """A forked trainer, with what the tests use of `subprocess.Popen`."""

    def __init__(self, door: socket.socket, arguments: Sequence[str], stderr: IO[Any]) -> None:
        read_in, write_in = os.pipe()
        read_out, write_out = os.pipe()
        self._answers, answers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._answers.settimeout(120)  # the first one waits for the imports
        with answers:
            streams = array.array("i", [read_in, write_out, stderr.fileno(), answers.fileno()])
            passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)]
            door.sendmsg([json.dumps(list(arguments)).encode()], passed)
        os.close(read_in)
        os.close(write_out)
        self.stdin: IO[bytes] | None = os.fdopen(write_in, "wb")
        self.stdout: IO[bytes] | None = os.fdopen(read_out, "rb")
        self.pid = int(self._answers.recv(64))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._status(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("a warm trainer", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _status(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._answers.settimeout(timeout)
            try:
                self.returncode = int(self._answers.recv(64))
            except (TimeoutError, BlockingIOError):
                return None
            self._answers.close()
        return self.returncode


def _serve(door: socket.socket) -> None:
    """Fork a trainer for each request, until the tests have gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how those that wait have ended
    while True:
        request, streams, _, _ = socket.recv_fds(door, _LARGEST_REQUEST, _STREAMS + 1)
        if not request:
            return
        # One process between us and the trainer waits for it alone, so that nobody else has to.
        if os.fork() == 0:
            _wait_for_one(json.loads(request), streams[:_STREAMS], streams[_STREAMS])
        for each in streams:
            os.close(each)


def _wait_for_one(arguments: list[str], streams: list[int], answers: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    die_with_parent(os.getppid())
    trainer = os.fork()
    if trainer == 0:
        die_with_parent(os.getppid())
        os.close(answers)
        _become_trainer(arguments, streams)
    for each in streams:
        os.close(each)
    told = socket.socket(fileno=answers)
    told.send(str(trainer).encode())
    _, status = os.waitpid(trainer, 0)
    with contextlib.suppress(BrokenPipeError):  # the test did not wait for it
        told.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become_trainer(arguments: list[str], streams: list[int]) -> None:
    """Be what `python -m academy.trainer` is."""
    os.setsid()
    for number, each in enumerate(streams):
        os.dup2(each, number)
        os.close(each)
    sys.argv = ["academy.trainer", *arguments]
    status = 1
    try:
        runpy.run_module("academy.trainer", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = int(end.code or 0)  # the trainer always says a number
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


def _import_libraries() -> None:
    os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")  # as the trainer does
    import transformers.models.llama.modeling_llama  # noqa: F401  # else at the first model


if __name__ == "__main__":
    _import_libraries()
    _serve(socket.socket(fileno=int(sys.argv[1])))
