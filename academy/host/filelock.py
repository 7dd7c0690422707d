"""A lock file that the kernel releases when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

_POLL_SECONDS = 0.1


class FileLock:
    """An exclusive lock on `path`, held by this process until `release` or its end.

    It is flock(2), so a file that lies there says nothing: only a living holder counts. Children
    do not inherit it, because Python's descriptors close at exec.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def acquire(
        self, *, within_seconds: float = 0.0, tick: Callable[[], None] = lambda: None
    ) -> bool:
        """Take the lock; False if another process (or another `FileLock`) has it all that time.

        `tick` is called again and again meanwhile, and may raise.
        """
        deadline = time.monotonic() + within_seconds
        while not self._try():
            tick()
            if time.monotonic() >= deadline:
                return False
            time.sleep(min(_POLL_SECONDS, within_seconds))
        return True

    def _try(self) -> bool:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back; harmless if it is not held. The file stays (removing it races)."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock."""
    if not path.exists():
        return False
    lock = FileLock(path)
    taken = lock.acquire()
    lock.release()
    return not taken
