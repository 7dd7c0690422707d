"""Running the application: gunicorn with one gevent worker.

One worker serves thousands of watchers (they wait, and gevent waits cheaply); more of them are more
API processes, each with a hub of its own. The worker dies with gunicorn's master, and a stop ends
open event streams at once, so it takes seconds however many watch.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import gevent
from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import ParseException
from gunicorn.workers.ggevent import GeventWorker

from academy import logs
from academy.access.keys import bootstrap_admin_key
from academy.errors import AcademyError
from academy.host.parent import die_with_parent
from academy.ops.ready import require_ready
from academy.serving import servers
from academy.settings import Settings
from academy.store.engine import needing_the_store

logger = logging.getLogger(__name__)

#: What an open answer may still take after a stop was asked for.
GRACEFUL_SECONDS = 6
#: How long what a refused request still sends is taken in.
LINGER_SECONDS = 10.0
_LINGER_BYTES = 1 << 20


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
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn how to serve."""
        host = self._settings.api.host
        host = f"[{host}]" if ":" in host else host
        for name, value in {
            "bind": f"{host}:{self._settings.api.port}",
            "worker_class": "academy.api.server.Worker",
            "workers": 1,
            "worker_connections": 10_000,
            "timeout": 60,  # the worker's own heart-beat, not a request's
            "graceful_timeout": GRACEFUL_SECONDS,
            "keepalive": 30,
            "limit_request_line": 8190,
            "control_socket_disable": True,
            "logger_class": Log,
            "proc_name": "academy-api",
            "post_fork": _die_with_arbiter,
            "post_worker_init": _end_streams_at_stop,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        """The application, made in the worker, so that no connection crosses the fork."""
        from academy.api.app import create_app

        return create_app(self._settings)


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn publishes no types
    """gunicorn's gevent worker, which also knows the connections on which nothing goes on.

    A graceful stop waits for every connection, and a client keeps its own open for later.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.idle: set[Any] = set()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """Answer a request, then take in what it left of the body.

        gunicorn would do so in steps that each copy up to a megabyte, which keeps every other
        request waiting for minutes after a large body that was refused unread.
        """
        try:
            return super().handle_request(listener_name, req, sock, addr)
        finally:
            if not _take_in(req.body):
                req.force_close()

    def timeout_ctx(self) -> Idle:
        """Around the wait for a connection's next request."""
        return Idle(self.idle, self.cfg.keepalive)

    def close_idle(self) -> None:
        """Close the connections on which no request is."""
        for greenlet in list(self.idle):
            # This is how gunicorn itself ends a connection.
            greenlet.kill(StopIteration, block=False)


class Idle:
    """A connection that waits for its next request, for at most `seconds`."""

    def __init__(self, idle: set[Any], seconds: float) -> None:
        self._idle = idle
        # False: the time-out ends the wait without an exception, which gevent's types do not know.
        self._timeout = gevent.Timeout(seconds, False)  # type: ignore[arg-type]

    def __enter__(self) -> None:
        self._idle.add(gevent.getcurrent())
        self._timeout.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        self._idle.discard(gevent.getcurrent())
        return self._timeout.__exit__(kind, error, trace)


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


def _take_in(body: Any) -> bool:
    """Read what is left of a body, for a while; whether it came to its end.

    To a client that is still sending, closing at once would be a broken connection, not an answer.
    """
    ended = False
    with gevent.Timeout(LINGER_SECONDS, False):  # type: ignore[arg-type]  # as in Idle
        try:
            while body.read(_LINGER_BYTES):
                gevent.sleep(0)  # a fast sender must not keep the others waiting
            ended = True
        except (OSError, ParseException):
            pass  # the sender is gone, or where the next request would begin is unknown
    return ended


def _die_with_arbiter(arbiter: Any, _worker: Any) -> None:
    die_with_parent(arbiter.pid)


def _end_streams_at_stop(worker: Any) -> None:
    """Watch for the stop in a greenlet, since a signal handler must not wait for anything."""

    def watch() -> None:
        while worker.alive:
            gevent.sleep(0.1)
        ended = worker.app.wsgi().extensions["academy"].watchers.stop()
        logger.info("The API stops; %d event streams were ended.", ended)
        while True:
            # Connections become idle as their answers end; the worker's exit ends this loop.
            worker.close_idle()
            gevent.sleep(0.1)

    gevent.spawn(watch)
