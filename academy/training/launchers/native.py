"""The launcher `native`: the trainer is a process group of the worker's host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from academy.events.emitter import Emitter
from academy.host.processes import cpu_seconds_of_group, end_group, signal_group, spawn
from academy.training.launchers.order import Ended, TrainerOrder
from academy.training.launchers.output import TrainerOutput, lines_of


class NativeTrainer:
    """A trainer in a process group of its own.

    `command` is `settings.training.command`, by default ``python -m academy.trainer``. Its output
    is read in threads of its own, so a busy owner never stalls the trainer. Leaving it as a context
    manager ends the whole group. Start it from a thread that lives as long as the trainer.
    """

    def __init__(self, command: Sequence[str], order: TrainerOrder, events: Emitter) -> None:
        spec = order.folder / "spec.json"
        spec.write_text(json.dumps(order.spec, indent=1))
        self._output = TrainerOutput(events, Path)
        self._process = spawn(
            [*command_words(command), str(spec), "--out", str(order.out), "--lifeline"],
            env={**os.environ, **order.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            data_bytes=order.granted.limits.memory_bytes,
        )
        self.pid = self._process.pid
        self._readers = [
            threading.Thread(target=self._read_messages, name="trainer-out", daemon=True),
            threading.Thread(target=self._read_noise, name="trainer-err", daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> NativeTrainer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end(grace_seconds=0.0)
        for stream, reader in zip(
            (self._process.stdout, self._process.stderr), self._readers, strict=True
        ):
            if stream is not None and not reader.is_alive():
                stream.close()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def next_message(self, timeout_seconds: float) -> dict[str, Any] | None:
        """See `Trainer`."""
        return self._output.next_message(timeout_seconds)

    @property
    def is_over(self) -> bool:
        """Whether the process has ended and everything it said was read."""
        return (
            self._process.poll() is not None
            and not any(reader.is_alive() for reader in self._readers)
            and self._output.is_empty
        )

    @property
    def last_noise(self) -> Sequence[str]:
        """The last lines of its standard error."""
        return list(self._output.last_noise)

    def cpu_seconds(self) -> float:
        """CPU time of the whole group, with that of children that have ended."""
        return cpu_seconds_of_group(self.pid)

    def ask_to_stop(self) -> None:
        """SIGTERM to the group."""
        signal_group(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the group."""
        signal_group(self.pid, signal.SIGKILL)

    def end(self, grace_seconds: float) -> Ended:
        """Stop the group for certain."""
        status = end_group(self._process, grace_seconds)
        for reader in self._readers:
            # A grandchild that left the group may still hold the pipe open; do not wait for it.
            reader.join(timeout=5)
        return Ended(status)

    def _read_messages(self) -> None:
        assert self._process.stdout is not None
        for line in lines_of(self._process.stdout):
            self._output.add_message(line)

    def _read_noise(self) -> None:
        assert self._process.stderr is not None
        for line in lines_of(self._process.stderr):
            self._output.add_noise(line)


def command_words(command: Sequence[str]) -> list[str]:
    """The words that start it; ``python`` means our own interpreter, with our own packages."""
    program, *arguments = command
    return [sys.executable if program == "python" else program, *arguments]
