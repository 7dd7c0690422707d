"""Requests with large bodies are answered by a process of their own.

Reading, parsing and checking a large body takes a while of Python's own, during which one thread
serves nobody else. So the process that serves everybody reads a request's head, and hands the
connection of one with a large body, or with a body of unknown length, to a second process of the
same application: the open file itself, by SCM_RIGHTS (unix(7)), and what was read of it so far. It
has nothing to do with the request any more; no byte of the body passes through it.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

import gevent.socket
from gevent.lock import Semaphore

logger = logging.getLogger(__name__)

#: A body of at most so many bytes is parsed and checked in a few milliseconds.
SMALL_BODY_BYTES = 16 << 10
#: How long the other process may leave the queue full.
_SECONDS = 5.0
#: A message says nothing: what counts are the two files that come with it.
_NOTE = b"\0"


def has_large_body(request: Any) -> bool:
    """Whether gunicorn's `request` may have a body of more than `SMALL_BODY_BYTES`."""
    for name, value in request.headers:
        if name == "TRANSFER-ENCODING":
            return True
        if name == "CONTENT-LENGTH":
            return int(value) > SMALL_BODY_BYTES
    return False


class Handover:
    """A queue of connections between two processes, made before either is forked.

    It outlives both: what waits while the second process is started anew is answered afterwards.
    """

    def __init__(self) -> None:
        # A packet of both files arrives whole or not at all.
        self._ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._giving: Any = None
        self._taking: Any = None
        # gevent lets one greenlet at a time wait for a socket.
        self._turn = Semaphore()

    def give(self, connection: Any, request: Any) -> None:
        """Hand over a connection whose next request is `request`, of which only the head is read.

        Raises `OSError` if the other process takes none for a while.
        """
        if self._giving is None:
            self._giving = own_end(self._ends[0], _SECONDS)
        read = os.memfd_create("request")
        try:
            with open(read, "wb", closefd=False) as stream:
                stream.write(_head(request))
                stream.write(request.unreader.take_buffered())
            with self._turn:
                socket.send_fds(self._giving, [_NOTE], [connection.fileno(), read])
        finally:
            os.close(read)

    def take(self) -> Resumed:
        """The next connection; waits for one."""
        if self._taking is None:
            self._taking = own_end(self._ends[1], None)
        while True:
            files = socket.recv_fds(self._taking, len(_NOTE), 2, socket.MSG_CMSG_CLOEXEC)[1]
            if len(files) == 2:
                break
            # The kernel keeps back what is over this process's limit of open files.
            logger.error("A request with a large body is lost: too many files are open.")
            for each in files:
                os.close(each)
        connection, read = files
        with open(read, "rb") as stream:
            stream.seek(0)
            resumed = Resumed(fileno=connection)
            resumed.read_before = stream.read()
        return resumed


class Resumed(gevent.socket.socket):
    """A connection of which a part was read already; it is read again first."""

    read_before: bytes = b""

    def recv(self, size: int, *flags: int) -> bytes:
        """The next bytes, as of any socket."""
        if self.read_before:
            first, self.read_before = self.read_before[:size], self.read_before[size:]
            return first
        received: bytes = super().recv(size, *flags)
        return received


def own_end(end: socket.socket, timeout_seconds: float | None) -> Any:
    """A descriptor of this process, which gevent waits for; at 0 s nothing is waited for."""
    own = gevent.socket.socket(end.family, end.type, fileno=os.dup(end.fileno()))
    own.settimeout(timeout_seconds)
    return own


def _head(request: Any) -> bytes:
    """The head of gunicorn's `request`, as it can be read again."""
    lines = [f"{request.method} {request.uri} HTTP/{request.version[0]}.{request.version[1]}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
