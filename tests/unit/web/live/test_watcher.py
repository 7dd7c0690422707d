"""A watcher on a real pair of sockets: it never waits, and nothing of a frame is lost."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import gevent
import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, Pong, TextMessage

from academy.events.event import START
from academy.web.live import encodings
from academy.web.live.watcher import LONGEST_MESSAGE, MOST_HEARD, Incoming, Stage, Watcher


class Peer:
    """The other end, spoken by wsproto."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.protocol = Connection(ConnectionType.CLIENT)

    def say(self, event: object) -> None:
        self.end.sendall(self.protocol.send(event))  # type: ignore[arg-type]

    def heard(self) -> list[object]:
        """What came until now."""
        settle()
        try:
            while data := self.end.recv(1 << 20):
                self.protocol.receive_data(data)
        except BlockingIOError:
            pass
        return list(self.protocol.events())


def settle() -> None:
    """Let libev tell what is ready."""
    for _ in range(5):
        gevent.sleep(0.001)


@pytest.fixture
def told() -> list[Watcher]:
    return []


@pytest.fixture
def peer_and_watcher(told: list[Watcher]) -> Iterator[tuple[Peer, Watcher]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        end = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    for each in (end, accepted):
        each.setblocking(False)
    watcher = Watcher(accepted, encodings.WEBSOCKET, START, told.append, incoming=Incoming([]))
    yield Peer(end), watcher
    watcher.cut()
    end.close()


def test_what_the_peer_does_not_take_at_once_comes_later_and_whole(
    peer_and_watcher: tuple[Peer, Watcher], told: list[Watcher]
) -> None:
    peer, watcher = peer_and_watcher
    text = "0123456789" * 800_000
    watcher.send(encodings.frame(1, text.encode()), 1.0)
    assert not watcher.is_ready
    watcher.ping(2.0)
    got, pings = "", 0
    for _ in range(2000):
        for event in peer.heard():
            if isinstance(event, TextMessage):
                got += event.data
            elif isinstance(event, Ping):
                pings += 1
        if pings:
            break
    assert got == text
    assert watcher.is_ready and told == [watcher]


def test_a_ping_is_answered_and_a_pong_is_taken(
    peer_and_watcher: tuple[Peer, Watcher],
) -> None:
    peer, watcher = peer_and_watcher
    peer.say(Ping(b"are you there"))
    settle()
    assert [bytes(each.payload) for each in peer.heard() if isinstance(each, Pong)] == [
        b"are you there"
    ]
    watcher.ping(3.0)
    assert watcher.pinged_at == 3.0
    assert any(isinstance(each, Ping) for each in peer.heard())
    peer.say(Pong())
    settle()
    assert watcher.pinged_at is None


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (encodings.frame(1, b"not masked"), 1002),
        (bytes([0xF1, 0x80]) + b"1234", 1002),
        (b"\x81\xfe\xff\xff" + b"1234" + b"x" * 5000, 1009),
        (b"\x81\x84" + b"\0\0\0\0" + b"\xff\xff\xff\xff", 1007),
    ],
    ids=["not masked", "reserved bits", "too long", "no UTF-8"],
)
def test_what_is_no_frame_closes_with_its_code(
    peer_and_watcher: tuple[Peer, Watcher], sent: bytes, code: int
) -> None:
    peer, watcher = peer_and_watcher
    peer.end.sendall(sent)
    settle()
    closed = [each for each in peer.heard() if isinstance(each, CloseConnection)]
    assert [each.code for each in closed] == [code]
    assert watcher.stage is not Stage.OPEN


def test_a_long_message_in_pieces_is_as_long(peer_and_watcher: tuple[Peer, Watcher]) -> None:
    peer, watcher = peer_and_watcher
    piece = "x" * (LONGEST_MESSAGE // 2)
    for _ in range(2):
        peer.say(TextMessage(piece, message_finished=False))
    settle()
    assert watcher.stage is Stage.OPEN
    peer.say(TextMessage("y", message_finished=True))
    settle()
    assert [each.code for each in peer.heard() if isinstance(each, CloseConnection)] == [1009]


def test_one_who_talks_all_the_time_is_closed(peer_and_watcher: tuple[Peer, Watcher]) -> None:
    peer, watcher = peer_and_watcher
    for _ in range(MOST_HEARD // 1000 + 2):
        if watcher.stage is not Stage.OPEN:
            break
        peer.say(TextMessage("x" * 1000))
        settle()
    assert [each.code for each in peer.heard() if isinstance(each, CloseConnection)] == [1008]


def test_a_peer_that_closes_is_answered_and_let_go(
    peer_and_watcher: tuple[Peer, Watcher], told: list[Watcher]
) -> None:
    peer, watcher = peer_and_watcher
    peer.say(CloseConnection(code=1000, reason="enough"))
    settle()
    assert [each.code for each in peer.heard() if isinstance(each, CloseConnection)] == [1000]
    peer.end.shutdown(socket.SHUT_RDWR)
    settle()
    assert watcher.stage is Stage.GONE
    assert told[-1] is watcher


def test_a_peer_that_vanishes_is_gone_at_once(
    peer_and_watcher: tuple[Peer, Watcher], told: list[Watcher]
) -> None:
    peer, watcher = peer_and_watcher
    peer.end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.end.close()  # with a reset
    settle()
    assert (watcher.stage, told) == (Stage.GONE, [watcher])
    watcher.send(b"x", 1.0)
    watcher.end(1000, "", 1.0)
    watcher.cut()
    assert told == [watcher]
