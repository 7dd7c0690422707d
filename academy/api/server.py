"""Running the application: gunicorn with gevent workers (see `academy.api.worker`).

One worker serves thousands of watchers, since none of them costs a thread; there are more where
``ACADEMY_API_PROCESSES`` says so, each with a hub of its own. The workers die with gunicorn's
master, and a stop ends open event streams at once, so it takes seconds however many watch.
"""

from __future__ import annotations

import gc
import logging
import sys
from typing import Any

import gevent
from gunicorn.app.base import BaseApplication

from academy import logs
from academy.access.keys import bootstrap_admin_key
from academy.api.app import open_state, routes
from academy.api.handover import Handover
from academy.api.tallies import Tallies
from academy.api.worker import Worker
from academy.errors import AcademyError
from academy.ops.ready import require_ready
from academy.serving import servers
from academy.settings import Settings
from academy.store.engine import StoreError, connect_ahead, needing_the_store

logger = logging.getLogger(__name__)

#: What an open answer may still take after a stop was asked for.
GRACEFUL_SECONDS = 6
#: Connections to PostgreSQL that are open before the first request.
_CONNECTIONS_AHEAD = 12
#: A worker that does nothing for so long is ended, and another one started.
HEARTBEAT_SECONDS = 20


def main() -> int:
    """Serve until a signal; 1 with a sentence if it cannot start."""
    try:
        settings = Settings.from_env()
        logs.setup("api", settings.log_level)
        settings.require_enabled()
        servers.check(settings)
        with needing_the_store():
            require_ready(settings)
            path = bootstrap_admin_key(settings)
        logger.info("The admin key lies in %s.", path)
    except AcademyError as error:
        sys.stderr.write(f"academy api: {error} {error.next_step}\n")
        return 1
    Server(settings).run()
    return 0


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn publishes no types
    """gunicorn, set up by `Settings` instead of a file."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app = routes()
        Worker.handover = Handover()
        Worker.tallies = Tallies(settings.api.processes)
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn how to serve."""
        host = self._settings.api.host
        host = f"[{host}]" if ":" in host else host
        for name, value in {
            "bind": f"{host}:{self._settings.api.port}",
            "worker_class": "academy.api.worker.Worker",
            "workers": self._settings.api.processes + 1,
            "worker_connections": 10_000,
            "timeout": HEARTBEAT_SECONDS,  # of the worker, not of a request
            "graceful_timeout": GRACEFUL_SECONDS,
            "keepalive": 30,
            "limit_request_line": 8190,
            "control_socket_disable": True,
            "logger_class": Log,
            "proc_name": "academy-api",
            "pre_fork": self._choose,
            "post_worker_init": _attend,
        }.items():
            self.cfg.set(name, value)

    def _choose(self, arbiter: Any, worker: Any) -> None:
        """Give a worker a slot at the port; the one that finds none takes what is handed over.

        Each is started anew as what it was.
        """
        taken = {each.slot for each in arbiter.WORKERS.values()}
        free = (each for each in range(self._settings.api.processes) if each not in taken)
        worker.slot = next(free, None)

    def load(self) -> Any:
        """The application with connections of the worker's own; none crosses the fork."""
        open_state(self._app, self._settings)
        # What is there now stays, and looking through it for garbage would stop every request for
        # as long as a hundred of them take.
        gc.collect()
        gc.freeze()
        return self._app


class Log:
    """gunicorn's log through our own set-up; no line for each request."""

    def __init__(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log = self.access_log = logging.getLogger("gunicorn")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.error_log, name)

    def setup(self, cfg: Any) -> None:
        """Take a new configuration; our own logging stays as it is."""
        self.cfg = cfg

    def access(self, *_: Any) -> None:
        """Requests are counted in ``/metrics``; ids of failed ones are in the log."""

    def reopen_files(self) -> None:
        """There are none."""

    def close_on_exec(self) -> None:
        """Standard error is not closed."""


def _attend(worker: Any) -> None:
    """What a worker does beside answering, once it is there."""
    _end_streams_at_stop(worker)
    if worker.has_port:
        gevent.spawn(_connect_ahead, worker)


def _connect_ahead(worker: Any) -> None:
    """Have the first requests find connections, as each would wait for all that are opened."""
    try:
        connect_ahead(worker.app.wsgi().extensions["academy"].sessions, _CONNECTIONS_AHEAD)
    except StoreError as error:
        logger.warning("No connections were opened ahead: %s", type(error).__name__)


def _end_streams_at_stop(worker: Any) -> None:
    """Watch for the stop in a greenlet, since a signal handler must not wait for anything."""

    def watch() -> None:
        while worker.alive:
            gevent.sleep(0.1)
        ended = worker.app.wsgi().extensions["academy"].switchboard.stop()
        logger.info("The API stops; %d event streams were ended.", ended)
        while True:
            # Connections become idle as their answers end; the worker's exit ends this loop.
            worker.close_idle()
            gevent.sleep(0.1)

    gevent.spawn(watch)
