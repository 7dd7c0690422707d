"""The trainer's standard output: one JSON object a line, and nothing else."""

from __future__ import annotations

import json
import math
import os
import sys
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

from academy.errors import AcademyError

if TYPE_CHECKING:  # it stands on torch, which takes seconds to import
    from academy.trainer.evaluation import Evaluation


class Report:
    """Writes events to the supervisor. Every event has a `type` and a `timestamp`."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    @classmethod
    def on_stdout(cls) -> Report:
        """Keep standard output for events; whatever else prints goes to standard error.

        Libraries print progress bars and warnings, some from C; the file descriptor itself is
        moved, so that none of them can put a line between two events.
        """
        sys.stdout.flush()
        own = os.dup(1)
        os.dup2(2, 1)
        return cls(os.fdopen(own, "w", encoding="utf-8"))

    @classmethod
    def to_nobody(cls) -> Report:
        """A report that is not read: of a process for which another one speaks."""
        return cls(open(os.devnull, "w", encoding="utf-8"))  # open until the process ends

    def relay(self, line: str) -> None:
        """Pass on an event that another process of this training wrote."""
        self._put(line.rstrip("\n") + "\n")

    def stage(self, stage: str, message: str) -> None:
        """A new part of the work begins."""
        self._write("stage", stage=stage, message=message)

    def log(self, message: str, level: str = "info") -> None:
        """A sentence for the person who watches."""
        self._write("log", level=level, message=message)

    def metrics(self, **values: Any) -> None:
        """Numbers of the last steps: loss, rate, speed, memory, and the time that is left."""
        self._write("metrics", **values)

    def evaluation(self, name: str, step: int, done: Evaluation) -> None:
        """The mean loss on held-out rows; `name` is "base" or "adapter"."""
        figures = {"rows": len(done.ids), "loss": done.loss, **done.rewards}
        self._write("evaluation", name=name, step=step, **figures)

    def checkpoint(self, step: int, path: str, digest: str) -> None:
        """A checkpoint is whole and on disk."""
        self._write("checkpoint", step=step, path=path, digest=digest)

    def rendezvous(self, address: str) -> None:
        """The first host listens there for the processes of the others."""
        self._write("rendezvous", address=address)

    def result(self, result: dict[str, Any]) -> None:
        """The adapter is whole and on disk; nothing but the exit follows."""
        self._write("result", **result)

    def error(self, error: AcademyError) -> None:
        """Why the training ends without a result, and the way out."""
        self._write("error", **error.failure())

    def _write(self, kind: str, **fields: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = {"type": kind, "timestamp": now, **json_safe(fields)}
        self._put(json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n")

    def _put(self, line: str) -> None:
        try:
            self._stream.write(line)
            self._stream.flush()
        except BrokenPipeError:
            # The supervisor is gone, so nobody will use a result; checkpoints are safe on disk.
            os._exit(1)


def json_safe(value: Any) -> Any:
    """The value with None for NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: json_safe(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(each) for each in value]
    return value
