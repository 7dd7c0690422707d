"""What a trainer prints, turned into events and into messages for its owner."""

from __future__ import annotations

import io
import json
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from academy.errors import failure_body
from academy.events.emitter import Emitter
from academy.events.lines import clean, cleaned
from academy.lifecycle import FailureCode
from academy.training.launchers.metrics_parser import TrainingMetricsParser
from academy.training.result import without_rows

#: The messages that the owner acts on; the others are events and nothing more.
_FOR_OWNER = {"checkpoint", "result", "error", "metrics", "stage", "rendezvous"}
#: Those that are no event: only the workers of a job need to know where its processes meet.
_FOR_OWNER_ALONE = {"rendezvous"}
#: The fields that name folders; the owner opens them.
_FOLDERS = ("path", "adapter_path")
#: A ``result`` has figures for each held-out row and may be long; a line that never ends must not
#: fill the memory.
_LONGEST_LINE = 64 << 20
_LINE_ENDS = re.compile(rb"(\r\n|\n|\r)")
#: A progress bar, which ends its states with a carriage return only, is shown so often at most.
_STATE_SECONDS = 1.0


class OutsideOut(ValueError):
    """A trainer named a folder that is not one of its own."""


class TrainerOutput:
    """Takes a trainer's lines as they come; each is an event at once.

    `folder_of` gives the folder of this host that a trainer's path stands for, or raises
    `OutsideOut`. A trainer of another make, which prints no messages, has its lines searched for
    figures; they become ``metrics``.
    """

    def __init__(self, events: Emitter, folder_of: Callable[[str], Path]) -> None:
        self.last_noise: deque[str] = deque(maxlen=30)
        self._events = events
        self._folder_of = folder_of
        self._messages: queue.Queue[dict[str, Any]] = queue.Queue()
        self._parser = TrainingMetricsParser()
        self._parsing = threading.Lock()  # both streams are read at the same time
        self._has_messages = False

    def next_message(self, timeout_seconds: float) -> dict[str, Any] | None:
        """The next message to act on; None if none came in time."""
        try:
            return self._messages.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    @property
    def is_empty(self) -> bool:
        """Whether the owner has taken every message."""
        return self._messages.empty()

    def add_message(self, line: bytes) -> None:
        """A line of standard output: a message, or else a line for people."""
        text = line.decode("utf-8", "replace").rstrip("\n")
        try:
            message = json.loads(text)
            kind = message.pop("type")
        except (ValueError, KeyError, AttributeError, TypeError):
            self._add_line(text, "info")
            return
        self._has_messages = True
        if kind == "error":
            message = cleaned(message)  # it becomes the failure of the job
        if kind not in _FOR_OWNER_ALONE:
            self._events.emit(kind, **_public(kind, message))
        if kind in _FOR_OWNER:
            self._messages.put(self._for_owner(kind, message))

    def add_noise(self, line: bytes) -> None:
        """A line of standard error."""
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            self.last_noise.append(clean(text))
            self._add_line(text, "noise")

    def _add_line(self, text: str, level: str) -> None:
        self._events.emit("log", level=level, message=text)
        if self._has_messages:
            return  # it tells its figures itself, and a library's progress bar is none of them
        with self._parsing:
            figures = self._parser.parse(text)
        if figures is not None:
            self._events.emit("metrics", **figures)
            self._messages.put({"type": "metrics", **figures})

    def _for_owner(self, kind: str, message: dict[str, Any]) -> dict[str, Any]:
        try:
            folders = {
                name: str(self._folder_of(message[name])) for name in _FOLDERS if name in message
            }
        except OutsideOut as error:
            self._events.emit("log", level="warning", message=str(error))
            way_out = "The image's trainer has to write under the folder given by --out."
            refused = failure_body(FailureCode.CONTAINER_REFUSED, str(error), way_out)
            return {"type": "error", **refused}
        return {"type": kind, **message, **folders}


class Lines:
    """Joins pieces of a stream into lines. One that is longer than the limit is cut there.

    What a carriage return overwrites is a state of a progress bar: of those that come within a
    second one is a line, and of the last one what it ends with.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: list[bytes] = []
        self._size = 0
        self._after_return = False
        #: The last state that was not shown, when one was, and whether it was of this line.
        self._state = b""
        self._shown_at = -_STATE_SECONDS
        self._was_shown = False

    def add(self, piece: bytes) -> Iterator[bytes]:
        """The lines that `piece` completes, without their ends."""
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]  # the second half of an end that was torn
            yield from self._end(b"")
        self._after_return = piece.endswith(b"\r") or (self._after_return and not piece)
        *parts, rest = _LINE_ENDS.split(piece)
        for text, end in zip(parts[::2], parts[1::2], strict=True):
            line = b"".join([*self._waiting, text])
            self._waiting, self._size = [], 0
            yield from self._overwrite(line) if end == b"\r" else self._end(line)
        if rest:
            self._waiting.append(rest)
            self._size += len(rest)
        if self._size > _LONGEST_LINE:
            yield b"".join(self._waiting)
            self._waiting, self._size = [], 0

    def rest(self) -> Iterator[bytes]:
        """What stands after the last line's end, if anything."""
        line = b"".join(self._waiting)
        self._waiting, self._size = [], 0
        if line or self._state:
            yield from self._end(line)

    def _overwrite(self, state: bytes) -> Iterator[bytes]:
        now = self._clock()
        if not state.strip():
            self._state = self._state or state  # a second return, which overwrites nothing
        elif now - self._shown_at < _STATE_SECONDS:
            self._state = state
        else:
            self._shown_at, self._state, self._was_shown = now, b"", True
            yield state

    def _end(self, line: bytes) -> Iterator[bytes]:
        line = line or self._state
        if line or not self._was_shown:
            yield line
        self._state, self._was_shown = b"", False


def lines_of(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a process's output, each once it is whole, without their ends."""
    assert isinstance(stream, io.BufferedReader)
    lines = Lines()
    while piece := stream.read1(1 << 16):
        yield from lines.add(piece)
    yield from lines.rest()


def _public(kind: str, message: dict[str, Any]) -> dict[str, Any]:
    """A message as watchers see it: no folder of this host, no figures for each held-out row.

    A trainer of another make may leave out parts of an error; watchers get all of them.
    """
    shown = {k: v for k, v in message.items() if k not in {"id", *_FOLDERS}}
    if isinstance(shown.get("summary"), dict):
        shown["summary"] = without_rows(shown["summary"])
    if kind == "error":
        code = shown.get("code") or FailureCode.TRAINER_CRASHED
        shown |= failure_body(
            code, str(shown.get("message") or ""), str(shown.get("next_step") or "")
        )
    return shown
