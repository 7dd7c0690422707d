"""What a websocket of a job's watcher needs beyond flask-sock.

simple-websocket 1.1.0 hands frames to ``send``, which under gevent may write only a part of them
(miguelgrinberg/simple-websocket#45), and writes from two greenlets. So it gets a socket whose
``send`` writes everything, one writer at a time, and gives up on a watcher that stopped reading.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from flask import Request

from academy.errors import AcademyError
from academy.events.event import Event
from academy.web.origins import is_foreign

#: A watcher that takes nothing for so long is disconnected.
SEND_SECONDS = 30.0
#: Longer texts are not kept, which bounds `Texts` to some 16 MB.
_LONGEST_SHARED = 2000


class OriginRefused(AcademyError):
    """A page of {origin!r} may not open a websocket here."""

    code = "origin_refused"
    status = 403
    next_step = "Open it from the dashboard's own address; other programs send no Origin header."


class WholeSends:
    """A socket whose `send` sends all of it, under a lock and with a time-out."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        # Sending gets a descriptor of its own, so that its time-out is not the reader's.
        self._sender = sock.dup()
        self._sender.settimeout(SEND_SECONDS)
        self._lock = threading.Lock()

    def send(self, data: bytes) -> int:
        """Send every byte; raises `OSError` when the peer is gone or takes nothing."""
        with self._lock:
            self._sender.sendall(data)
        return len(data)

    def close(self) -> None:
        """Close both descriptors."""
        self.let_go()
        self._sock.close()

    def let_go(self) -> None:
        """Close our own descriptor, without which the connection would stay open."""
        self._sender.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def prepare(request: Request) -> None:
    """Check a websocket request before its handshake, and give it a socket that sends whole frames.

    Compression is not agreed on: a compressor for each watcher costs 230 kB and time for each line.

    Raises `OriginRefused` for a page of another host: browsers open sockets for any page and send
    their cookies along, and nothing else protects from that.
    """
    if is_foreign(request):
        raise OriginRefused(origin=request.headers["Origin"])
    request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    for name in ("gunicorn.socket", "werkzeug.socket"):
        if name in request.environ:
            request.environ[name] = WholeSends(request.environ[name])


def let_go(request: Request) -> None:
    """Undo what `prepare` did, once the socket is closed or was none."""
    sock = request.environ.get("gunicorn.socket")
    if isinstance(sock, WholeSends):
        sock.let_go()


def close_reason(text: str) -> str:
    """The text, cut to what a close frame holds: 125 bytes with the code (RFC 6455, 5.5)."""
    return text.encode()[:123].decode(errors="ignore")


class Texts:
    """The JSON of recent events, made once however many watch.

    Watchers of a job get the same events in batches of their own, so what they can share is each
    event's text and not the frame.
    """

    def __init__(self, most: int = 8192) -> None:
        self._most = most
        self._texts: dict[tuple[str, int, int, str], str] = {}

    def frame(self, job_id: str, events: Sequence[Event]) -> str:
        """A batch as one JSON array."""
        return "[" + ",".join(self.text(job_id, event) for event in events) + "]"

    def text(self, job_id: str, event: Event) -> str:
        """An event as JSON."""
        # A "truncated" event has the id of one that is gone, so the type belongs to the key.
        key = (job_id, event.id.attempt, event.id.seq, event.type)
        text = self._texts.get(key)
        if text is None:
            text = event.to_json()
            if len(text) <= _LONGEST_SHARED:
                if len(self._texts) >= self._most:
                    # Dictionaries keep their order, so the first key is the oldest.
                    self._texts.pop(next(iter(self._texts)), None)
                self._texts[key] = text
        return text
