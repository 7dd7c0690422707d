"""A running trainer: its messages, its noise, its end.

Its standard output is read in a thread of its own, so a busy owner never stalls the trainer, and
every message becomes an event the moment it arrives.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from academy.events.writer import EventWriter
from academy.processes import end_group, signal_group, spawn
from academy.training.result import without_rows

log = logging.getLogger(__name__)

#: The messages that the owner acts on; the others are events and nothing more.
_FOR_OWNER = {"checkpoint", "result", "error", "metrics", "stage"}


class TrainerProcess:
    """Starts the program that trains and turns what it prints into events.

    `command` is `Settings.trainer_command`, by default ``python -m academy.trainer``.

    `next_message` gives the owner the messages it has to act on. Use as a context manager: leaving
    it ends the whole process group. Start it from a thread that lives as long as the trainer.
    """

    def __init__(
        self,
        command: str,
        spec: Path,
        out: Path,
        events: EventWriter,
        env: Mapping[str, str],
    ) -> None:
        self._events = events
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self.last_noise: deque[str] = deque(maxlen=30)
        self._process = spawn(
            [*command_words(command), str(spec), "--out", str(out), "--lifeline"],
            env={**os.environ, **env, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pid = self._process.pid
        self._readers = [
            threading.Thread(target=self._read_messages, name="trainer-out", daemon=True),
            threading.Thread(target=self._read_noise, name="trainer-err", daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> TrainerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(grace_seconds=0.0)

    def next_message(self, timeout_seconds: float) -> dict[str, Any] | None:
        """The next message to act on; None if none came in time."""
        try:
            return self._messages.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    @property
    def is_over(self) -> bool:
        """Whether the process has ended and everything it said was read."""
        return (
            self._process.poll() is not None
            and not any(reader.is_alive() for reader in self._readers)
            and self._messages.empty()
        )

    @property
    def exit_status(self) -> int | None:
        """The exit status; negative for a signal, None while it runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """SIGTERM to the group: the trainer writes a checkpoint and ends with status 3."""
        signal_group(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the group."""
        signal_group(self.pid, signal.SIGKILL)

    def end(self, grace_seconds: float) -> int:
        """Stop the group for certain; the exit status."""
        status = end_group(self._process, grace_seconds)
        for reader in self._readers:
            # A grandchild that left the group may still hold the pipe open; do not wait for it.
            reader.join(timeout=5)
        return status

    def _read_messages(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.decode("utf-8", "replace").rstrip("\n")
            try:
                message = json.loads(text)
                kind = message.pop("type")
            except (ValueError, KeyError, AttributeError, TypeError):
                self._events.emit("log", level="info", message=text)
                continue
            self._events.emit(kind, **_public(message))
            if kind in _FOR_OWNER:
                self._messages.put({"type": kind, **message})

    def _read_noise(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                self.last_noise.append(text)
                self._events.emit("log", level="noise", message=text)


def command_words(command: str) -> list[str]:
    """The command's words; ``python`` means our own interpreter, with our own packages."""
    program, *arguments = shlex.split(command)
    return [sys.executable if program == "python" else program, *arguments]


def _public(message: dict[str, Any]) -> dict[str, Any]:
    """A message as watchers see it: no folder of this host, no figures for each held-out row."""
    shown = {k: v for k, v in message.items() if k not in {"id", "path", "adapter_path"}}
    if isinstance(shown.get("summary"), dict):
        shown["summary"] = without_rows(shown["summary"])
    return shown
