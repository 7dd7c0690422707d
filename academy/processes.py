"""Child processes that die with us, and how to end them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: int | IO[Any] | None = subprocess.DEVNULL,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    data_bytes: int | None = None,
    own_group: bool = True,
) -> subprocess.Popen[bytes]:
    """Start `command` in a process group of its own; Linux ends it when we die.

    Without `own_group` it stays in ours, and gets the signals and counts to the limits of that.
    `data_bytes` limits the private writable memory of each of its processes (RLIMIT_DATA).

    The kernel sends `death_signal` when the *thread* that called this ends, so call it from a
    thread that lives as long as the child should (prctl(2), PR_SET_PDEATHSIG).
    """
    parent = os.getpid()

    def die_with_parent() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:  # the parent died before prctl took effect
                os._exit(1)
        if data_bytes is not None:  # last, as from here on this copy of us may get no memory
            resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))

    return subprocess.Popen(
        list(command),
        env=dict(env) if env is not None else None,
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=own_group,
        preexec_fn=die_with_parent,
    )


def end_group(process: subprocess.Popen[bytes], grace_seconds: float) -> int:
    """Ask the child's whole process group to stop, kill it after the grace; returns exit status."""
    if process.poll() is None:
        signal_group(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):  # the kill below is the answer
            process.wait(timeout=grace_seconds)
    signal_group(process.pid, signal.SIGKILL)
    return process.wait(timeout=30)


def signal_group(group: int, number: signal.Signals) -> bool:
    """Send a signal to a process group; False if nobody is in it any more."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def cpu_seconds_of_group(group: int) -> float:
    """CPU time of a process group or session, with that of its children that have ended."""
    total = 0.0
    for process in psutil.process_iter():
        try:
            if group in (os.getpgid(process.pid), os.getsid(process.pid)):
                total += sum(process.cpu_times()[:4])  # user, system, and both of ended children
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue  # it ended while we looked
    return total


def is_alive(pid: int) -> bool:
    """Whether a process with this id runs (a zombie does not)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pid: int, timeout_seconds: float) -> bool:
    """Wait for a process that is not our child to end; False if it is still there."""
    deadline = time.monotonic() + timeout_seconds
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
