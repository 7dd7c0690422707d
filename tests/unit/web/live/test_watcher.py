"""A watcher on a real pair of sockets: it never waits, and nothing of a frame is lost."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Iterator

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, Pong, TextMessage

from academy.events.event import START
from academy.web.live import encodings
from academy.web.live.handshake import agreed_deflate
from academy.web.live.watcher import (
    LONGEST_MESSAGE,
    MOST_HEARD,
    Close,
    Incoming,
    Stage,
    Watcher,
)
from academy.web.live.watcher import Pong as Answered


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


def masked(opcode: int, payload: bytes, first: int = 0x80) -> bytes:
    """A frame of a client, with the mask of zeros."""
    size = len(payload)
    head = bytes([first | opcode, 0x80 | min(size, 126)])
    return head + (size.to_bytes(2, "big") if size > 125 else b"") + b"\0\0\0\0" + payload


FRAMES = st.one_of(
    st.binary(max_size=20),
    st.builds(
        masked,
        st.integers(0, 15),
        st.binary(max_size=130),
        st.sampled_from([0x00, 0x80, 0xC0, 0xF0, 0x40]),
    ),
    st.builds(lambda text: masked(1, zlib.compress(text)[2:-4], 0xC0), st.binary(max_size=90)),
    st.just(masked(8, b"\x03\xe8bye")),
)


@given(parts=st.lists(FRAMES, max_size=12), compressed=st.booleans())
def test_whatever_comes_is_an_answer_or_a_close_and_never_an_error(
    parts: list[bytes], compressed: bool
) -> None:
    incoming = Incoming(agreed_deflate() if compressed else [])
    closed = False
    for part in parts:
        if closed:
            incoming.is_closed_by(part)
            continue
        for answer in incoming.take(part):
            assert isinstance(answer, Answered | Close)
            closed = closed or isinstance(answer, Close)


def test_a_small_frame_that_unpacks_to_much_is_too_long() -> None:
    incoming = Incoming(agreed_deflate())
    deflate = zlib.compressobj(9, wbits=-15)
    bomb = deflate.compress(b"x" * (3 << 20)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    [answer] = incoming.take(masked(1, bomb[:-4], 0xC0))
    assert isinstance(answer, Close) and answer.code == 1009
