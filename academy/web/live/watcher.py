"""One watcher: a connection, a cursor, and what is on its way.

Nothing here waits. Who sends is the switchboard; what comes in, and room for what did not fit,
libev tells by calling back.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from enum import Enum
from typing import Any

from gevent import get_hub
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import Extension
from wsproto.utilities import RemoteProtocolError

from academy.events.event import EventId
from academy.web.live.encodings import (
    NORMAL,
    POLICY,
    PROTOCOL_ERROR,
    TOO_LARGE,
    Encoding,
    close_frame,
    pong_frame,
)
from academy.web.live.places import Place

#: A watcher has nothing to say; a message of more bytes closes its socket.
LONGEST_MESSAGE = 4096
#: Bytes that a watcher may send in so many seconds: pongs, and some more.
MOST_HEARD, HEARD_SECONDS = 64 << 10, 20.0
#: Answers to pings that wait behind what the watcher does not read.
_MOST_WAITING = 16
#: The kernel keeps so many bytes for a watcher at most; what it does not take waits here.
_SEND_BUFFER = 256 << 10
_READ, _WRITE = 1, 2


class Stage(Enum):
    """How far a watcher is."""

    OPEN = "open"
    #: Nothing more is sent but what is on its way; the peer closes, or is cut off.
    CLOSING = "closing"
    GONE = "gone"


class Watcher:
    """A connection that gets one feed's events."""

    def __init__(
        self,
        connection: socket.socket,
        encoding: Encoding,
        cursor: EventId,
        tell: Callable[[Watcher], None],
        *,
        place: Place | None = None,
        incoming: Incoming | None = None,
    ) -> None:
        """`tell` is called when the watcher is gone, or takes more again; it must not wait."""
        self.cursor = cursor
        self.encoding = encoding
        self.place = place
        self.stage = Stage.OPEN
        #: When it last took anything of what was sent, and when anything was sent last.
        self.took_at = self.sent_at = time.monotonic()
        #: When it began to close.
        self.closing_since: float | None = None
        #: Since when a ping waits for its answer.
        self.pinged_at: float | None = None
        self._connection = connection
        self._tell = tell
        self._incoming = incoming
        self._waiting: list[memoryview] = []
        self._heard = 0
        self._heard_since = self.sent_at
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop: Any = get_hub().loop
        self._readable = loop.io(connection.fileno(), _READ)
        self._writable = loop.io(connection.fileno(), _WRITE)
        self._readable.start(self._read)

    @property
    def is_ready(self) -> bool:
        """Whether everything that was sent is taken, and more may be."""
        return self.stage is Stage.OPEN and not self._waiting

    def ping(self, now: float) -> None:
        """Keep a quiet connection open; a websocket's peer has to answer."""
        if self._incoming is not None:
            self.pinged_at = now
        self.send(self.encoding.ping(), now)

    @property
    def has_more(self) -> bool:
        """Whether something of what was sent is not taken yet."""
        return bool(self._waiting)

    def send(self, data: bytes, now: float) -> None:
        """Send all of it, now or as soon as the peer takes it."""
        self.sent_at = now
        if self._waiting:
            self._waiting.append(memoryview(data))
            return
        sent = self._try(data)
        if sent is None:
            return
        if sent:
            self.took_at = now
        if sent < len(data):
            self.took_at = now  # from here on it keeps us waiting
            self._waiting.append(memoryview(data)[sent:])
            self._writable.start(self._write)

    def end(self, code: int, reason: str, now: float) -> None:
        """Tell that there will be no more, and why; the peer is given a while to close."""
        if self.stage is not Stage.OPEN:
            return
        self.send(self.encoding.end(code, reason), now)
        self._begin_to_close(now)

    def cut(self) -> None:
        """Close the connection, whatever was not taken."""
        if self.stage is Stage.GONE:
            return
        self.stage = Stage.GONE
        self._readable.stop()
        self._writable.stop()
        self._readable.close()
        self._writable.close()
        self._connection.close()
        self._waiting.clear()
        self._tell(self)

    def _begin_to_close(self, now: float) -> None:
        if self.stage is Stage.OPEN:
            self.stage = Stage.CLOSING
            self.closing_since = now
            self._tell(self)
            self._finish()

    def _finish(self) -> None:
        """Say that nothing more comes, once all is sent; the peer's end comes by `_read`."""
        if self.stage is Stage.CLOSING and not self._waiting:
            try:
                self._connection.shutdown(socket.SHUT_WR)
            except OSError:
                self.cut()  # the peer is gone already

    def _try(self, data: bytes | memoryview) -> int | None:
        """How many bytes the kernel took; None if the peer is gone."""
        try:
            return self._connection.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.cut()
            return None

    def _write(self) -> None:
        while self._waiting:
            sent = self._try(self._waiting[0])
            if sent is None:
                return
            if sent:
                self.took_at = time.monotonic()
            if sent < len(self._waiting[0]):
                if sent:
                    self._waiting[0] = self._waiting[0][sent:]
                return
            del self._waiting[0]
        self._writable.stop()
        self._finish()
        if self.stage is not Stage.GONE:
            self._tell(self)

    def _read(self) -> None:
        try:
            data = self._connection.recv(LONGEST_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.cut()
            return
        now = time.monotonic()
        self.pinged_at = None
        if self.stage is not Stage.OPEN:
            if self._incoming is not None and self._incoming.is_closed_by(data):
                self.cut()
            return
        if now - self._heard_since > HEARD_SECONDS:
            self._heard, self._heard_since = 0, now
        self._heard += len(data)
        if self._heard > MOST_HEARD:
            self.end(POLICY, "a watcher has nothing to say", now)
        elif self._incoming is not None:
            for answer in self._incoming.take(data):
                self._answer(answer, now)

    def _answer(self, answer: Pong | Close, now: float) -> None:
        if isinstance(answer, Close):
            self.send(close_frame(answer.code, answer.reason), now)
            self._begin_to_close(now)
        elif self.stage is Stage.OPEN and len(self._waiting) < _MOST_WAITING:
            self.send(pong_frame(answer.payload), now)


class Pong:
    """A ping of the peer is to be answered."""

    def __init__(self, payload: bytes) -> None:
        self.payload = payload


class Close:
    """The socket is to be closed."""

    def __init__(self, code: int, reason: str = "") -> None:
        self.code = code
        self.reason = reason


class Incoming:
    """What a websocket's peer sends, read by wsproto. Most send nothing but pongs."""

    def __init__(self, extensions: list[Extension]) -> None:
        self._extensions = extensions
        self._protocol: Connection | None = None
        self._message = 0

    def take(self, data: bytes) -> list[Pong | Close]:
        """What is to be done about these bytes."""
        found: list[Pong | Close] = []
        try:
            for event in self._events(data):
                if isinstance(event, Ping):
                    found.append(Pong(bytes(event.payload)))
                elif isinstance(event, CloseConnection):
                    code = int(event.code)
                    found.append(Close(code if code != 1005 else NORMAL))
                    break
                elif isinstance(event, TextMessage | BytesMessage):
                    self._message += len(event.data)
                    if self._message > LONGEST_MESSAGE:
                        why = f"a message of more than {LONGEST_MESSAGE} bytes"
                        found.append(Close(TOO_LARGE, why))
                        break
                    if event.message_finished:
                        self._message = 0
        except RemoteProtocolError as error:
            hint = error.event_hint
            code = int(hint.code) if isinstance(hint, CloseConnection) else PROTOCOL_ERROR
            found.append(Close(code, str(error)))
        return found

    def is_closed_by(self, data: bytes) -> bool:
        """Whether the peer closes with these bytes; anything else is passed over."""
        try:
            return any(isinstance(each, CloseConnection) for each in self._events(data))
        except RemoteProtocolError:
            return True

    def _events(self, data: bytes) -> list[Any]:
        if self._protocol is None:
            self._protocol = Connection(ConnectionType.SERVER, self._extensions)
        self._protocol.receive_data(data)
        return list(self._protocol.events())
