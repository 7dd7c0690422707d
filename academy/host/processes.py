"""Child processes that die with us, and how to end them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any

import psutil

_STARTER = Path(__file__).with_name("parent.py")


@dataclass(frozen=True)
class Account:
    """A user of this machine; `keep_reach`: it reaches closed folders by a capability."""

    uid: int
    gid: int
    keep_reach: bool = False


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
    pass_fds: Sequence[int] = (),
    account: Account | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in a process group of its own; Linux ends it when we die.

    Without `own_group` it stays in ours, and gets the signals and counts to the limits of that.
    The child keeps the file descriptors in `pass_fds` open.
    `data_bytes` limits the private writable memory of each of its processes (RLIMIT_DATA).
    With `account`, which takes root, it is a process of that account's.

    The kernel sends `death_signal` when the *thread* that called this ends, so call it from a
    thread that lives as long as the child should (prctl(2), PR_SET_PDEATHSIG). Raises
    `FileNotFoundError` for a command that is not there, and `PermissionError` if it may not become
    the account.
    """
    environment = dict(os.environ if env is None else env)
    program = shutil.which(command[0], path=environment.get("PATH"))
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    uid, gid, keep_reach = (-1, -1, False) if account is None else astuple(account)
    read, write = (-1, -1) if account is None else os.pipe()
    asked = (os.getpid(), death_signal, data_bytes or 0, uid, gid, keep_reach, write)
    try:
        process = subprocess.Popen(
            [
                *(sys.executable, "-I", "-S", str(_STARTER)),
                *(str(int(each)) for each in asked),
                *(program, *command),
            ],
            env=environment,
            cwd=cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=own_group,
            pass_fds=(*pass_fds, *([] if account is None else [write])),
        )
        if account is not None:
            os.close(write)
            write = -1
            _require_started(process, read)
    finally:
        for end in (read, write):
            if end >= 0:
                os.close(end)
    return process


def _require_started(process: subprocess.Popen[bytes], said: int) -> None:
    """Wait until the starter has become the command; `PermissionError` if it could not."""
    why = os.read(said, 4096)
    if why:
        with process:  # ends its streams and waits for it
            pass
        raise PermissionError(errno.EPERM, why.decode("utf-8", "replace"))


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
    """Whether a process with this id runs (a zombie does not).

    A killed process shows as a zombie when its first thread has ended; its files and ports are
    given back by the last one, so it is alive until then.
    """
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1
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
