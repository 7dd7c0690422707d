"""One worker process: who it is, its stores, its heart-beat, and whether it should let go."""

from __future__ import annotations

import logging
import os
import platform
import secrets
import socket
import threading
from functools import lru_cache

import academy
from academy.gpus import read_gpus
from academy.settings import Settings
from academy.store import workers
from academy.store.engine import Sessions, StoreError, make_sessions

log = logging.getLogger(__name__)


class WorkerProcess:
    """Registers this process in Postgres and keeps it fresh from a thread.

    `draining` is set when the process shuts down or somebody asked for it; a held job then writes
    a checkpoint and goes back to the queue.
    """

    def __init__(self, settings: Settings, queue: str) -> None:
        self.settings = settings
        self.queue = queue
        self.sessions: Sessions = make_sessions(settings, pool_size=4)
        host = socket.gethostname()
        self.id = f"{host}-{queue}-{os.getpid()}-{secrets.token_hex(2)}"
        self.draining = threading.Event()
        self._host = host
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart-beat", daemon=True)

    def start(self) -> None:
        """Register, then stay registered until `stop`."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Say good-bye; the row stays as history."""
        self._stopped.set()
        self._thread.join(self.settings.postgres_timeout_seconds + 5)
        try:
            with self.sessions.begin() as session:
                workers.stopped(session, self.id)
        except StoreError as error:
            log.warning("the worker could not say good-bye: %s", type(error).__name__)

    def _run(self) -> None:
        while not self._stopped.wait(self.settings.heartbeat_seconds):
            self._beat()

    def _beat(self) -> None:
        try:
            with self.sessions.begin() as session:
                asked_to_drain = workers.seen(
                    session,
                    self.id,
                    queue=self.queue,
                    host=self._host,
                    pid=os.getpid(),
                    versions=_versions(),
                    gpus=[gpu.as_dict() for gpu in read_gpus()] if self.queue == "gpu" else [],
                )
        except StoreError as error:
            log.warning("the heart-beat was not recorded: %s", type(error).__name__)
            return
        if asked_to_drain and not self.draining.is_set():
            log.info("asked to drain")
            self.draining.set()


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return {"academy": academy.__version__, "python": platform.python_version()}
