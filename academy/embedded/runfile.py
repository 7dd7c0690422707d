"""``HOME/run.json``: which stack runs in a home, for `academy down` and the other commands."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from academy.errors import AcademyError
from academy.host.filelock import FileLock, is_held


class RunUnknown(AcademyError):
    """Academy runs here, but {path}, which tells its process, is missing or damaged."""

    code = "run_unknown"
    next_step = "Send SIGTERM to the process `academy up` that was started for this home."


@dataclass(frozen=True)
class Restart:
    """A process that had to be started again: which, why, and when (seconds since the epoch)."""

    name: str
    why: str
    at: float


@dataclass(frozen=True)
class Run:
    """A running stack. `started` is the process's start time, which tells a reused id apart."""

    pid: int
    started: float  # seconds since the epoch, as the kernel knows it
    state: str  # starting, ready or stopping
    url: str  # where clients of this machine reach the API
    host: str
    port: int
    ports: dict[str, int] = field(default_factory=dict)  # of the other servers, by name
    children: dict[str, int] = field(default_factory=dict)  # process ids by name
    restarts: list[Restart] = field(default_factory=list)  # the latest


def home_lock(home: Path) -> FileLock:
    """The lock that a running stack holds on its home."""
    return FileLock(home / "up.lock")


def write_run(home: Path, run: Run) -> None:
    """Replace ``run.json`` in one step, so that readers never see half of one."""
    half = home / f"run.json.{os.getpid()}"
    try:
        half.write_text(json.dumps(dataclasses.asdict(run), indent=2) + "\n")
        half.replace(home / "run.json")
    finally:
        half.unlink(missing_ok=True)


def remove_run(home: Path) -> None:
    """Forget the run; harmless if there is none."""
    (home / "run.json").unlink(missing_ok=True)


def running(home: Path) -> Run | None:
    """The stack that runs in this home now; None if none does or a killed one left its file."""
    run = _read(home / "run.json")
    if run is None or not is_held(home / "up.lock"):
        return None
    started = started_at(run.pid)
    # The kernel counts from the boot, whose wall-clock time may be corrected by a second.
    return run if started is not None and abs(started - run.started) < 2 else None


def request_stop(home: Path) -> Run | None:
    """Send SIGTERM to the stack of this home; the run that was asked, or None if none runs.

    Raises `RunUnknown` if one runs whose file cannot be read.
    """
    run = running(home)
    if run is None:
        if is_held(home / "up.lock"):
            raise RunUnknown(path=home / "run.json")
        return None
    os.kill(run.pid, signal.SIGTERM)
    return run


def started_at(pid: int) -> float | None:
    """When a process started, or None if there is none with this id."""
    import psutil  # costs 20 ms, which a command that asks no home should not pay

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def _read(path: Path) -> Run | None:
    """What the file says; None for none, and for one that is damaged or of another version."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        restarts = [Restart(**each) for each in found.pop("restarts", [])]
        run = Run(**found, restarts=restarts)
        return run if _is_whole(run) else None
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _is_whole(run: Run) -> bool:
    """Whether each field is of its type; may raise `AttributeError` where one is not."""
    numbers = [run.pid, run.port, *run.ports.values(), *run.children.values()]
    moments = [run.started, *(each.at for each in run.restarts)]
    texts = [run.state, run.url, run.host]
    texts += [text for each in run.restarts for text in (each.name, each.why)]
    return (
        run.pid > 0
        and all(type(each) is int for each in numbers)
        and all(isinstance(each, int | float) for each in moments)
        and all(isinstance(each, str) for each in texts)
    )
