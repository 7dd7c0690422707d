"""Commands as processes of their own, in a pipe or at a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from academy.host.processes import end_group, spawn
from tests.waiting import until


@dataclass
class Terminal:
    """A command that believes to stand at a terminal, and what it has said so far."""

    process: subprocess.Popen[bytes]
    master: int
    said: bytearray = field(default_factory=bytearray)

    @property
    def text(self) -> str:
        return self.said.decode(errors="replace").replace("\r\n", "\n")

    def until(self, text: str) -> None:
        until(lambda: text in self.text, 30, lambda: f"{text!r} in {self.text!r}")

    def end(self) -> int:
        """Wait until it has ended and all is read; its exit status."""
        status = self.process.wait(60)
        self.reader.join(30)
        return status

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the last writer has closed its side
            while piece := os.read(self.master, 1 << 16):
                self.said += piece


@pytest.fixture
def environ(served: Any) -> dict[str, str]:
    """What a command needs to find the API, and no size of a terminal by accident."""
    own = {"ACADEMY_URL": f"http://{served.host}", "ACADEMY_API_KEY": served.key}
    kept = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    return {**kept, **own, "TERM": "xterm-256color", "TZ": "Europe/Warsaw"}


@pytest.fixture
def command(environ: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a command whose output goes into pipes."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        line = [sys.executable, "-m", "academy.cli", *words]
        process = spawn(line, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        end_group(process, grace_seconds=5)


@pytest.fixture
def at_terminal(environ: dict[str, str]) -> Iterator[Callable[..., Terminal]]:
    """Starts a command at a terminal of so many columns."""
    opened: list[Terminal] = []

    def start(*words: str, columns: int = 80) -> Terminal:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        line = [sys.executable, "-m", "academy.cli", *words]
        process = spawn(line, env=environ, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        terminal = Terminal(process, master)
        opened.append(terminal)
        return terminal

    yield start
    for terminal in opened:
        end_group(terminal.process, grace_seconds=5)
        terminal.reader.join(30)
        os.close(terminal.master)
