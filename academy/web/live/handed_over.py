"""An answer of which only the head is a request's; the connection goes on without it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import gevent
from flask import Response
from gevent import monkey
from gunicorn.util import http_date

#: A client takes the head of its answer in so long, or is gone.
_HEAD_SECONDS = 5.0

#: Sockets that gevent knows nothing of: nobody waits for these, libev calls when they are ready.
_Socket = monkey.get_original("socket", "socket")


class ConnectionTaken(StopIteration):  # gunicorn ends its loop by StopIteration
    """The connection belongs to somebody else now; gunicorn lets its own descriptor go."""


class HandedOver(Response):
    """Sends its status and headers, and gives a descriptor of the connection to `take`."""

    def __init__(
        self,
        take: Callable[[socket.socket], None],
        status: int,
        headers: Iterable[tuple[str, str]],
    ) -> None:
        super().__init__(status=status)
        self.headers.clear()
        self.headers.extend(list(headers))
        self._take = take

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Never returns: raises `ConnectionTaken`."""
        connection = environ[SOCKET]
        if not environ["wsgi.input"].take_in():  # what belongs to the request is not a watcher's
            raise ConnectionAbortedError("the request's body has no end")
        status = HTTPStatus(self.status_code)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"Date: {http_date()}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        head = "".join(f"{line}\r\n" for line in [*lines, ""])
        with gevent.Timeout(_HEAD_SECONDS, OSError("it takes no answer")):
            connection.sendall(head.encode("latin-1"))
        taken = _Socket(fileno=connection.dup().detach())
        taken.setblocking(False)
        self._take(taken)
        raise ConnectionTaken


#: Where gunicorn puts a request's connection.
SOCKET = "gunicorn.socket"


def can_hand_over(environ: dict[str, Any]) -> bool:
    """Whether the server that answers lets go of connections."""
    return SOCKET in environ
