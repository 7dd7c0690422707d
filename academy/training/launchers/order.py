"""What a launcher is told, and what it gives back: the interface between it and the supervisor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from academy.store.jobs.transitions import Claim
from academy.training.launch import Granted


@dataclass(frozen=True)
class TrainerOrder:
    """One trainer to start.

    `spec` is what docs/training.md calls the spec, with folders of this host; `folder` is the
    attempt's own. `gpus` are the UUIDs of the devices that the trainer may use; `environment` is
    added to what the launcher sets.
    """

    claim: Claim
    granted: Granted
    spec: Mapping[str, Any]
    folder: Path
    environment: Mapping[str, str]
    gpus: tuple[str, ...] = ()

    @property
    def out(self) -> Path:
        """The folder that the trainer writes into."""
        return self.folder / "out"


@dataclass(frozen=True)
class Ended:
    """How a trainer ended: its exit status, negative for a signal.

    `out_of_memory`: the kernel ended it because it passed its memory limit.
    """

    status: int
    out_of_memory: bool = False


class Trainer(Protocol):
    """A running trainer, wherever it runs. Leaving it as a context manager ends it for certain."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def next_message(self, timeout_seconds: float) -> dict[str, Any] | None:
        """The next message to act on; None if none came in time."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended and everything it said was read."""

    @property
    def last_noise(self) -> Sequence[str]:
        """The last lines of its standard error."""

    def cpu_seconds(self) -> float:
        """CPU time that all its processes have taken so far."""

    def ask_to_stop(self) -> None:
        """SIGTERM: the trainer writes a checkpoint and ends with status 3. May be repeated."""

    def kill(self) -> None:
        """SIGKILL to everything that belongs to it."""

    def end(self, grace_seconds: float) -> Ended:
        """Ask it to stop, kill it after the grace, and say how it ended."""
