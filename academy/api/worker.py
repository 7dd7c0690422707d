"""gunicorn's gevent worker, as this API needs it; two of them, or more, make an API.

One worker, or several that share the port, answer everybody and hold every watcher. Another one has
no port: it answers requests with large bodies, which are handed to it, so that none of them keeps
everybody waiting.
"""

from __future__ import annotations

import logging
import os
import resource
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.pool import Pool
from gunicorn.http.errors import (
    ExpectationFailed,
    ForbiddenProxyRequest,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.util import close_graceful
from gunicorn.workers.ggevent import GeventWorker

from academy.api.handover import Handover, Resumed, has_large_body
from academy.api.request_bodies import Body
from academy.api.tallies import Tallies
from academy.errors import MOST_SENT_CHARACTERS, AcademyError, Unavailable, shortened
from academy.host.parent import die_with_parent
from academy.web import problems
from academy.web.live.handed_over import ConnectionTaken
from academy.web.live.places import half_of_files

logger = logging.getLogger(__name__)

#: How much less of a busy processor large bodies get than everybody else (nice(2)).
_NICENESS = 5
#: Files that a worker has open beside the connections that it answers.
_OTHER_FILES = 200
#: The part of a stop's time in which requests that did not end are cut.
_CLEARING_SECONDS = 2.0
#: How long the sender of what is no request may take for the answer.
_ANSWER_SECONDS = 5.0
#: HTTP's status for what gunicorn finds wrong; 400 for everything else.
_STATUSES = {
    LimitRequestLine: 414,
    LimitRequestHeaders: 431,
    ExpectationFailed: 417,
    UnsupportedTransferCoding: 501,
    ForbiddenProxyRequest: 403,
}


class Worker(GeventWorker):  # type: ignore[misc]  # gunicorn publishes no types
    """One of the workers; whoever starts it sets `slot`, before it is forked."""

    #: Shared by all, and by those that are started in their place.
    handover: Handover
    tallies: Tallies
    worker_connections: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.idle: set[Any] = set()
        #: Which of those at the port it is; None: it has no port.
        self.slot: int | None = 0
        self.sockets: list[Any]

    @property
    def has_port(self) -> bool:
        """Whether connections come to it; else they are handed to it."""
        return self.slot is not None

    def init_process(self) -> None:
        """Become what `slot` says, then serve."""
        die_with_parent(self.ppid)
        self.worker_connections = _connections_for(self.worker_connections)
        if not self.has_port:
            os.nice(_NICENESS)
            for each in self.sockets:
                each.sock.close()
            self.sockets = []
        super().init_process()

    def run(self) -> None:
        """Serve until a signal."""
        if self.has_port:
            super().run()
            self._let_watchers_close()
            return
        answering = Pool(self.worker_connections)
        taking = gevent.spawn(self._take, answering)
        while self.alive:
            self.notify()
            gevent.sleep(1.0)
        taking.kill()
        # gunicorn kills a worker that takes its whole time, and what is cut has to clear up.
        answering.join(timeout=self.cfg.graceful_timeout - _CLEARING_SECONDS)
        answering.kill(timeout=_CLEARING_SECONDS / 2)
        self._let_watchers_close()

    def _let_watchers_close(self) -> None:
        """Connections that were taken over are in no pool that gunicorn waits for."""
        self.wsgi.extensions["academy"].switchboard.wait_until_empty(_CLEARING_SECONDS / 2)

    def load_wsgi(self) -> None:
        """Make the application, and have all workers count together."""
        super().load_wsgi()
        self.tallies.share(self.wsgi.extensions["academy"].figures, self.slot)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """Answer a request or hand it over; then take in what it left of the body."""
        _require_plain_chunks(req)
        if self.has_port and has_large_body(req):
            try:
                self.handover.give(sock, req)
            except OSError as error:
                logger.warning("A request with a large body was refused: %s", error)
                raise Unavailable(
                    what="The process for large bodies", why="it has too many of them"
                ) from error
            raise StopIteration  # which closes our end of the connection
        body = req.body = Body(req.body, sock, req.force_close)
        if not self.has_port:
            req.force_close()  # the next request on this connection may be a small one
        try:
            return self._answered(listener_name, req, sock, addr, body)
        except ConnectionTaken:
            raise  # nobody but the one who took it may say anything on it
        except StopIteration:
            if not self.has_port:
                # What the client sent behind its body is not read here, and to close on unread
                # bytes would break the answer off.
                close_graceful(sock)
            raise

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what is no HTTP request, or what failed before its answer began, as a problem."""
        if isinstance(exc, AcademyError):
            answer = problems.of_academy(exc)
        elif isinstance(exc, ParseException):
            status = next((each for kind, each in _STATUSES.items() if isinstance(exc, kind)), 400)
            detail = shortened(f"This is no request: {exc}.", MOST_SENT_CHARACTERS)
            answer = problems.of_server(status, detail)
        else:
            logger.error("A request met an error that nobody foresaw.", exc_info=exc)
            answer = problems.unforeseen()
        answer.headers["Connection"] = "close"
        head = f"HTTP/1.1 {answer.status}\r\n{answer.headers}"  # which end with an empty line
        try:
            with gevent.Timeout(_ANSWER_SECONDS, OSError("it takes no answer")):
                client.sendall(head.encode("latin-1") + answer.get_data())
        except OSError as error:
            logger.debug("Nobody took the answer to what was no request: %s", error)
        close_graceful(client)

    def timeout_ctx(self) -> Idle:
        """Around the wait for a connection's next request."""
        return Idle(self.idle, self.cfg.keepalive)

    def _answered(self, listener_name: Any, req: Any, sock: Any, addr: Any, body: Body) -> Any:
        try:
            return super().handle_request(listener_name, req, sock, addr)
        finally:
            if not body.take_in():
                req.force_close()

    def _take(self, answering: Pool) -> None:
        while True:
            connection = self.handover.take()
            answering.spawn(self._answer, connection)

    def _answer(self, connection: Resumed) -> None:
        try:
            peer, listener = connection.getpeername(), _Listener(connection.getsockname())
        except OSError:
            connection.close()  # the sender is gone
        else:
            self.handle(listener, connection, peer)

    def close_idle(self) -> None:
        """Close the connections on which no request is."""
        for greenlet in list(self.idle):
            # This is how gunicorn itself ends a connection.
            greenlet.kill(StopIteration, block=False)


def _require_plain_chunks(req: Any) -> None:
    """Raise `UnsupportedTransferCoding` for chunks that are compressed, which nobody unpacks."""
    for name, value in req.headers:
        if name == "TRANSFER-ENCODING" and value.strip(" \t").lower() != "chunked":
            raise UnsupportedTransferCoding(value)


def _connections_for(wanted: int) -> int:
    """How many requests the limit of open files leaves, raised as far as is allowed.

    A process that has no file left loses connections; one that takes no more leaves them waiting.
    Half of the files are for watchers, whose requests are over.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    enough = 2 * (wanted + _OTHER_FILES)
    if soft != unlimited and soft < enough:
        soft = enough if hard == unlimited else min(enough, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, half_of_files() - _OTHER_FILES))


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


@dataclass(frozen=True)
class _Listener:
    """Where a connection that was handed over came in, as gunicorn asks for it."""

    address: Any

    def getsockname(self) -> Any:
        """The address of this end."""
        return self.address
