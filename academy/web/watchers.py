"""The open event streams of this process, so that a stop can end them at once.

A watcher spends its life waiting in the hub. Without this, a graceful stop would wait for every
watcher until its time-out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gevent import getcurrent


class ServerStopping(BaseException):
    """The server is stopping; connect again and go on after the last event."""


class Watchers:
    """The greenlets that stream events now."""

    def __init__(self) -> None:
        self._greenlets: set[Any] = set()
        self._lock = threading.Lock()
        self._stopping = False

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count the current greenlet in; it may get `ServerStopping` wherever it waits."""
        if self._stopping:
            raise ServerStopping
        greenlet: Any = getcurrent()
        with self._lock:
            self._greenlets.add(greenlet)
        try:
            yield
        finally:
            with self._lock:
                self._greenlets.discard(greenlet)

    def stop(self) -> int:
        """End every stream, and refuse new ones; how many there were."""
        self._stopping = True
        with self._lock:
            open_now = list(self._greenlets)
        for greenlet in open_now:
            greenlet.kill(ServerStopping, block=False)
        return len(open_now)

    def __len__(self) -> int:
        return len(self._greenlets)
