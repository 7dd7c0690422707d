"""How batches of events are put on a connection: made once for all watchers of one kind.

A frame of a server is not masked (RFC 6455, section 5.1), so the same bytes fit everybody. They
are compressed (RFC 7692) without context from frame to frame, for a context would be each watcher's
own: 230 kB of memory, and a compression of every line for every watcher.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Protocol

from academy.access.keys import KeyRevoked
from academy.errors import AcademyError, Unavailable, failure_body
from academy.events.event import Event
from academy.store.engine import StoreError
from academy.wire import sse

#: Why a stream ends (RFC 6455, section 7.4.1, and its registry at IANA).
NORMAL, GOING_AWAY, TRY_AGAIN = 1000, 1001, 1013
PROTOCOL_ERROR, POLICY, TOO_LARGE = 1002, 1008, 1009
#: The peer's key does not count any more.
UNAUTHORIZED = 4401
DATABASE_AWAY = "the database is away; connect again"
STORE_AWAY = "the artifact store does not give the log; connect again"
_COME_AGAIN = "Send the id of the last event seen as Last-Event-ID, and nothing is missed."

#: A frame of fewer bytes is not worth compressing.
_LEAST_COMPRESSED = 200
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_FINAL, _COMPRESSED = 0x80, 0x40


def away(error: StoreError | AcademyError) -> str:
    """Why events cannot be read now, in words for their reader."""
    return DATABASE_AWAY if isinstance(error, StoreError) else STORE_AWAY


class Encoding(Protocol):
    """One kind of connection. What it makes depends on the arguments alone."""

    def events(self, batch: Sequence[Event]) -> bytes:
        """A batch of events."""

    def hello(self, body: dict[str, Any]) -> bytes:
        """The first event, which has no id."""

    def ping(self) -> bytes:
        """What keeps a quiet connection open."""

    def end(self, code: int, reason: str) -> bytes:
        """The end of the stream, and why."""


class WebSocketFrames:
    """JSON arrays of events, one text message each."""

    def __init__(self, *, compressed: bool) -> None:
        self._compressed = compressed

    def events(self, batch: Sequence[Event]) -> bytes:
        """One message."""
        return self._message(b"[" + b",".join(event.line for event in batch) + b"]")

    def hello(self, body: dict[str, Any]) -> bytes:
        """A message of one event."""
        return self._message(json.dumps([body], ensure_ascii=False).encode())

    def ping(self) -> bytes:
        """A ping, which the peer answers."""
        return frame(_PING, b"")

    def end(self, code: int, reason: str) -> bytes:
        """A close frame; see `close_frame`."""
        return close_frame(code, reason)

    def _message(self, payload: bytes) -> bytes:
        if not self._compressed or len(payload) < _LEAST_COMPRESSED:
            return frame(_TEXT, payload)
        deflate = zlib.compressobj(1, wbits=-15)
        packed = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
        return frame(_TEXT, packed[:-4], compressed=True)  # RFC 7692, 7.2.1: without 00 00 ff ff


class ServerSentEvents:
    """Events one by one, in chunks (RFC 9112, section 7.1) unless the client knows none."""

    def __init__(self, *, chunked: bool) -> None:
        self._chunked = chunked

    def events(self, batch: Sequence[Event]) -> bytes:
        """As many events, each with its id."""
        return self._chunk(b"".join(sse.line_event(str(each.id), each.line) for each in batch))

    def hello(self, body: dict[str, Any]) -> bytes:
        """An event without an id."""
        return self._chunk(sse.json_event(body).encode())

    def ping(self) -> bytes:
        """A comment."""
        return self._chunk(sse.PING.encode())

    def end(self, code: int, reason: str) -> bytes:
        """The end of the body; before it, why, where it is not the end of the job."""
        told = b""
        if code == GOING_AWAY:  # nothing is wrong, and a reader comes back by itself
            told = self._chunk(sse.comment(reason).encode())
        elif code != NORMAL:
            kind, next_step = Unavailable.code, _COME_AGAIN
            if code == UNAUTHORIZED:
                kind, next_step = KeyRevoked.code, KeyRevoked.next_step
            error = failure_body(kind, reason, next_step)
            told = self._chunk(sse.json_event({"type": "error", **error}).encode())
        return told + (b"0\r\n\r\n" if self._chunked else b"")

    def _chunk(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data


#: All there are; a watcher's is one of these, so that those of one kind can be told apart.
WEBSOCKET = WebSocketFrames(compressed=False)
WEBSOCKET_COMPRESSED = WebSocketFrames(compressed=True)
SSE = ServerSentEvents(chunked=True)
SSE_UNCHUNKED = ServerSentEvents(chunked=False)


def frame(opcode: int, payload: bytes, *, compressed: bool = False) -> bytes:
    """A whole frame of a server (RFC 6455, section 5.2)."""
    first = _FINAL | (_COMPRESSED if compressed else 0) | opcode
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", first, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping."""
    return frame(_PONG, payload)


def close_frame(code: int, reason: str = "") -> bytes:
    """The last frame; the reason is cut to what it holds: 125 bytes with the code (section 5.5)."""
    text = reason.encode()[:123].decode(errors="ignore").encode()
    return frame(_CLOSE, struct.pack("!H", code) + text)
