"""A body that comes slowly is read; one whose sender pauses for too long is not waited for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import gevent.socket
import pytest
from gunicorn.http.body import Body as Unlimited
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.unreader import SocketUnreader

from academy.api import request_bodies
from academy.api.request_bodies import Body, BodyBroken, BodyTooSlow

Ends = tuple[Any, Any]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = gevent.socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def of_length(connection: Any, length: int, given_up: list[bool] | None = None) -> Body:
    reader = Unlimited(LengthReader(SocketUnreader(connection), length))
    noted = [] if given_up is None else given_up
    return Body(reader, connection, lambda: noted.append(True))


def test_each_part_has_the_whole_time(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_bodies, "SILENCE_SECONDS", 0.5)
    ours, theirs = ends

    def send() -> None:
        for _ in range(8):
            theirs.sendall(b"x")
            gevent.sleep(0.1)  # slow, but steady: longer in all than a pause may be

    sender = gevent.spawn(send)
    assert of_length(ours, 8).read() == b"x" * 8
    assert ours.gettimeout() is None
    sender.join()


def test_a_pause_ends_the_reading(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_bodies, "SILENCE_SECONDS", 0.05)
    ours, theirs = ends
    theirs.sendall(b"half")
    given_up: list[bool] = []
    body = of_length(ours, 8, given_up)
    with pytest.raises(BodyTooSlow, match=r"0\.05 seconds"):
        body.read()
    assert body.failed
    assert given_up, "before the answer says that the connection may be used again"


def test_an_end_in_the_middle_of_a_chunk_is_called_so(ends: Ends) -> None:
    class Request:
        limit_request_field_size = 0
        max_buffer_headers = 0

    ours, theirs = ends
    theirs.sendall(b"5\r\nhal")
    theirs.shutdown(gevent.socket.SHUT_WR)
    given_up: list[bool] = []
    reader = Unlimited(ChunkedReader(Request(), SocketUnreader(ours)))
    body = Body(reader, ours, lambda: given_up.append(True))
    with pytest.raises(BodyBroken, match="ended in the middle"):
        body.read()
    assert given_up
