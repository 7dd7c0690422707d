"""What is made once for all watchers is read by other makes of readers."""

from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from academy.events.event import Event, EventId
from academy.web.live import encodings

EVENTS = st.lists(
    st.builds(
        lambda seq, text: Event(EventId(1, seq), "log", "now", {"message": text}),
        st.integers(1, 10**9),
        st.text(max_size=300),
    ),
    min_size=1,
    max_size=40,
)


def read(data: bytes, *, compressed: bool = False) -> Frame:
    """The frame, by the library websockets."""
    deflate = PerMessageDeflate(
        remote_no_context_takeover=True,
        local_no_context_takeover=True,
        remote_max_window_bits=15,
        local_max_window_bits=15,
    )
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parsing = Frame.parse(reader.read_exact, mask=False, extensions=[deflate] if compressed else [])
    try:
        next(parsing)
    except StopIteration as done:
        frame: Frame = done.value
        return frame
    raise AssertionError("the frame is not whole")


@pytest.mark.parametrize("compressed", [False, True])
@given(batch=EVENTS)
def test_a_frame_holds_the_events(batch: list[Event], compressed: bool) -> None:
    encoding = encodings.WebSocketFrames(compressed=compressed)
    frame = read(encoding.events(batch), compressed=compressed)
    assert (frame.opcode, frame.fin) == (Opcode.TEXT, True)
    assert json.loads(frame.data) == [event.as_dict() for event in batch]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_a_frame_of_any_size_says_how_long_it_is(size: int) -> None:
    frame = read(encodings.frame(2, b"x" * size))
    assert frame.data == b"x" * size


def test_compressed_frames_do_not_depend_on_each_other() -> None:
    batch = [Event(EventId(1, seq), "log", "now", {"message": "a line " * 5}) for seq in range(50)]
    encoding = encodings.WEBSOCKET_COMPRESSED
    first, again = encoding.events(batch), encoding.events(batch)
    assert first == again
    assert len(first) < len(encodings.WEBSOCKET.events(batch)) / 5
    assert len(zlib.decompressobj(-15).decompress(first[4:] + b"\0\0\xff\xff")) > 1000


@given(reason=st.text(max_size=200), code=st.sampled_from([1000, 1001, 1009, 1013, 4404]))
def test_a_close_frame_holds_what_fits_of_its_reason(reason: str, code: int) -> None:
    frame = read(encodings.close_frame(code, reason))
    close = Close.parse(frame.data)
    assert close.code == code
    assert reason.startswith(close.reason)
    assert len(close.reason.encode()) >= min(len(reason.encode()), 120)


@given(batch=EVENTS)
def test_server_sent_events_are_one_line_each(batch: list[Event]) -> None:
    text = encodings.SSE_UNCHUNKED.events(batch).decode()
    parts = text.split("\n\n")
    assert parts.pop() == ""
    for event, part in zip(batch, parts, strict=True):
        identity, data = part.split("\n", 1)
        assert identity == f"id: {event.id}"
        assert json.loads(data.removeprefix("data: ")) == event.as_dict()


def test_a_chunked_stream_ends_with_the_last_chunk() -> None:
    assert encodings.SSE.ping() == b"8\r\n: ping\n\n\r\n"
    assert encodings.SSE.end(1000, "over") == b"0\r\n\r\n"
    assert encodings.SSE_UNCHUNKED.end(1000, "over") == b""
    stopping = encodings.SSE.end(1001, "stopping")
    assert b": stopping" in stopping and stopping.endswith(b"\r\n0\r\n\r\n")
    assert b'"type": "error"' in encodings.SSE.end(1013, "the database is away")
