"""Who may watch from where, how many at once, and how those who misbehave are let go."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from academy.events.event import Event, EventId
from academy.events.sender import EventSender
from academy.events.stream import append
from academy.events.stream import connect as connect_to_redis
from academy.events.writer import EventWriter
from academy.settings import Settings
from academy.store.engine import Sessions
from tests.waiting import until

#: What the fixture `served` gives (conftest.py).
Served = Any


@pytest.fixture
def events(settings: Settings, sessions: Sessions, job_id: str) -> Iterator[EventWriter]:
    """Writes the job's events, as an attempt that goes on."""
    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as writer:
        yield writer


def count(served: Served) -> int:
    answer = httpx.get(served.url("/status"), headers=served.headers, timeout=20).json()
    found: int = answer["watchers"]
    return found


def handshake(
    served: Served, job_id: str, *lines: str, key: str | None = "its own"
) -> socket.socket:
    """A raw websocket, once it is open."""
    host, _, port = served.host.rpartition(":")
    raw = socket.create_connection((host, int(port)), timeout=20)
    head = [
        f"GET /api/v1/academy/jobs/{job_id}/logs/ws HTTP/1.1",
        f"Host: {served.host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *([f"Authorization: Bearer {served.key}"] if key is not None else []),
        *lines,
    ]
    raw.sendall("".join(f"{line}\r\n" for line in [*head, ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += raw.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return raw


def listen_until(raw: socket.socket, words: bytes) -> None:
    """Read until the words came."""
    heard = b""
    while words not in heard:
        data = raw.recv(4096)
        assert data, heard
        heard += data


def rest_of(raw: socket.socket) -> bytes:
    """Everything until the server closes."""
    found = b""
    while data := raw.recv(65536):
        found += data
    return found


@pytest.mark.parametrize("compression", ["deflate", None])
def test_frames_are_compressed_for_those_who_can_read_it(
    served: Served, job_id: str, events: EventWriter, compression: str | None
) -> None:
    for number in range(300):
        events.emit("log", message=f"the same words again and again, number {number}")
    with served.watch(job_id, compression=compression) as ws:
        assert bool(ws.protocol.extensions) is (compression is not None)
        seen: list[dict[str, Any]] = []
        while len(seen) < 301:
            seen += json.loads(ws.recv(timeout=20))
    assert [each["id"] for each in seen[1:]] == [f"1-{seq}" for seq in range(1, 301)]


def test_a_window_that_others_do_not_share_is_not_agreed_on(served: Served, job_id: str) -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10, x-unknown"
    with handshake(served, job_id, offer) as raw:
        assert b'[{"type": "connected"' in raw.recv(4096)


def test_a_cursor_from_the_future_is_refused_and_the_last_one_is_not(
    served: Served, job_id: str, events: EventWriter
) -> None:
    events.emit("log", message="only")
    path = f"/jobs/{job_id}/logs/stream"

    def status(after: str) -> int:
        url, headers = served.url(path), {**served.headers, "Last-Event-ID": after}
        with httpx.stream("GET", url, headers=headers, timeout=20) as answer:
            return answer.status_code

    with served.watch(job_id) as ws:
        seen: list[dict[str, Any]] = []
        while len(seen) < 2:
            seen += json.loads(ws.recv(timeout=20))
    assert seen[1]["id"] == "1-1"
    assert status("1-1") == 200
    assert status("0-0") == 200
    assert status("1-2") == 422
    for after in ("1-2", "2-1", "9-99999999999999"):
        with served.watch(job_id, f"?after={after}") as ws:
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=20)
            assert ws.close_code == 4400
            assert ws.close_reason is not None
            assert ws.close_reason.startswith("cursor_from_the_future: No event after " + after)
    until(lambda: count(served) == 0, 20, "nobody watches")


@pytest.mark.parametrize("more_settings", [{"watchers_each": 3}])
def test_one_key_and_one_address_have_so_many_places_and_get_them_back(
    served: Served, job_id: str
) -> None:
    url = served.url(f"/jobs/{job_id}/logs/stream")
    with ExitStack() as open_now:
        for _ in range(3):
            open_now.enter_context(served.watch(job_id))
        until(lambda: count(served) == 3, 20, "three watch")
        with pytest.raises(InvalidStatus) as refused:
            served.watch(job_id)
        for status, headers, body in (
            (
                refused.value.response.status_code,
                refused.value.response.headers,
                json.loads(refused.value.response.body),
            ),
            _answer(httpx.get(url, headers=served.headers, timeout=20)),
        ):
            assert (status, body["code"]) == (503, "too_many_watchers")
            assert "With this key 3 event streams" in body["detail"]
            assert int(headers["Retry-After"]) > 0
    until(lambda: count(served) == 0, 20, "nobody watches")
    with served.watch(job_id) as ws:
        assert json.loads(ws.recv(timeout=20))[0]["type"] == "connected"


def _answer(answer: httpx.Response) -> tuple[int, Any, Any]:
    return answer.status_code, answer.headers, answer.json()


@pytest.mark.parametrize("more_settings", [{"ping_seconds": 0.5}])
def test_one_who_does_not_answer_pings_is_closed(served: Served, job_id: str) -> None:
    with handshake(served, job_id) as raw, served.watch(job_id) as answering:
        answering.recv(timeout=20)
        heard = rest_of(raw)
        assert b"\x89\x00" in heard  # a ping
        assert b"\x03\xf5a ping was not answered" in heard  # 1013
        until(lambda: count(served) == 1, 20, "the other one is there still")


def test_a_large_message_closes_the_socket(served: Served, job_id: str) -> None:
    with served.watch(job_id) as ws:
        ws.recv(timeout=20)
        ws.send("x" * 4096)
        ws.send("y" * 4097)
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=20)
        assert ws.close_code == 1009


def test_one_that_vanishes_is_not_counted_any_more(
    served: Served, job_id: str, events: EventWriter
) -> None:
    with served.watch(job_id) as staying:
        for _ in range(5):
            raw = handshake(served, job_id)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raw.close()  # with a reset
            handshake(served, job_id).close()
        until(lambda: count(served) == 1, 20, "only the one that stays is counted")
        events.emit("log", message="still here")
        seen: list[dict[str, Any]] = []
        while len(seen) < 2:
            seen += json.loads(staying.recv(timeout=20))
    assert seen[1]["message"] == "still here"


def test_attempts_are_announced_and_what_is_gone_is_told(
    served: Served, settings: Settings, sessions: Sessions, job_id: str
) -> None:
    client = connect_to_redis(settings)
    lost = [Event(EventId(1, seq), "log", "now", {"message": "late"}) for seq in (5, 6)]
    append(client, job_id, lost)
    client.close()
    with (
        EventSender(settings, sessions) as sender,
        sender.open(job_id, 2) as again,
        served.watch(job_id) as ws,
    ):
        again.emit("status", status="preparing", attempt=2)
        again.emit("log", message="once more")
        seen: list[dict[str, Any]] = []
        while len(seen) < 6:
            seen += json.loads(ws.recv(timeout=30))
    assert [(each.get("id"), each["type"]) for each in seen] == [
        (None, "connected"),
        ("1-4", "truncated"),
        ("1-5", "log"),
        ("1-6", "log"),
        ("2-1", "status"),
        ("2-2", "log"),
    ]


def test_the_head_of_a_stream_is_answered_without_it(served: Served, job_id: str) -> None:
    url = served.url(f"/jobs/{job_id}/logs/stream")
    answer = httpx.head(url, headers=served.headers, timeout=20)
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    until(lambda: count(served) == 0, 20, "it took no place")


def test_a_client_of_http_1_0_gets_the_stream_unchunked(
    served: Served, job_id: str, events: EventWriter
) -> None:
    events.emit("log", message="for the old")
    events.emit("status", status="finished")
    host, _, port = served.host.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as raw:
        head = f"GET /api/v1/academy/jobs/{job_id}/logs/stream HTTP/1.0\r\nX-API-Key: {served.key}"
        raw.sendall(f"{head}\r\n\r\n".encode())
        head_bytes, _, body = rest_of(raw).partition(b"\r\n\r\n")
    assert b"chunked" not in head_bytes.lower()
    assert b"id: 1-1\ndata: {" in body
    assert body.endswith(b'"status":"finished"}\n\n')


def test_hundreds_who_connect_at_once_are_all_served(
    served: Served, job_id: str, events: EventWriter
) -> None:
    raws = [handshake(served, job_id) for _ in range(200)]
    try:
        until(lambda: count(served) == 200, 20, "all watch")
        events.emit("log", message="to everybody")
        for raw in raws:
            listen_until(raw, b"to everybody")
        began = time.monotonic()
        assert httpx.get(served.url("/jobs"), headers=served.headers, timeout=20).is_success
        assert time.monotonic() - began < 20
    finally:
        for raw in raws:
            raw.close()
    until(lambda: count(served) == 0, 20, "nobody watches")


def test_a_flood_of_sockets_without_a_key_is_closed_and_others_are_served(
    served: Served, job_id: str, events: EventWriter
) -> None:
    with served.watch(job_id) as watching, ExitStack() as open_now:
        flood = []
        for _ in range(600):  # none of which closes by itself
            raw = open_now.enter_context(handshake(served, job_id, key=None))
            flood.append(raw)
        events.emit("log", message="still served")
        seen: list[dict[str, Any]] = []
        while len(seen) < 2:
            seen += json.loads(watching.recv(timeout=20))
        assert seen[1]["message"] == "still served"
        assert b"\x11\x31key_missing" in rest_of(flood[0])  # 4401
        for raw in flood[1:]:
            rest_of(raw)  # which comes to an end
        assert count(served) == 1


@pytest.mark.parametrize("more_settings", [{"api_processes": 3}])
def test_several_processes_share_the_port_and_count_together(
    served: Served, job_id: str, events: EventWriter
) -> None:
    master = psutil.Process(served.process.pid)
    until(lambda: len(master.children()) == 4, 20, "three answer, one takes large bodies")
    raws = [handshake(served, job_id) for _ in range(40)]
    try:
        until(lambda: count(served) == 40, 20, "each process knows of all watchers")
        events.emit("log", message="to everybody")
        for raw in raws:
            listen_until(raw, b"to everybody")
        before = _answers_counted(served)
        for _ in range(30):  # a connection each, so that all processes get some
            assert httpx.get(served.url("/jobs"), headers=served.headers, timeout=20).is_success
        until(lambda: _answers_counted(served) == before + 30, 20, "every process counted them")
        # One of them is killed: its watchers come again, and the others notice nothing.
        with_port = [each for each in master.children() if _listens(each)]
        assert len(with_port) == 3
        with_port[0].kill()
        until(lambda: len(master.children()) == 4, 20, "another one took its place")
        again = handshake(served, job_id, "X-Note: again")
        raws.append(again)
        listen_until(again, b"to everybody")
    finally:
        for raw in raws:
            raw.close()
    until(lambda: count(served) == 0, 20, "nobody watches")


def _listens(process: psutil.Process) -> bool:
    return any(each.status == psutil.CONN_LISTEN for each in process.net_connections("tcp"))


def _answers_counted(served: Served) -> float:
    """How many answers to ``GET /jobs`` the process that answers knows of."""
    text = httpx.get(f"http://{served.host}/metrics", headers=served.headers, timeout=20).text
    pattern = r'academy_http_requests_total\{method="GET",route="[^"]*/jobs",status="200"\} (.*)'
    found = re.search(pattern, text)
    return float(found[1]) if found else 0.0


def test_streams_end_when_their_key_is_revoked(
    served: Served, job_id: str, events: EventWriter
) -> None:
    """Within some seconds, and those of other keys go on."""
    made = httpx.post(
        served.url("/keys"),
        headers=served.headers,
        json={"name": "a watcher", "role": "viewer"},
        timeout=20,
    ).json()
    mine = {"Authorization": f"Bearer {made['key']}"}
    url = served.url(f"/jobs/{job_id}/logs")
    with ExitStack() as opened:
        ws = opened.enter_context(
            connect(f"{url.replace('http', 'ws', 1)}/ws", additional_headers=mine)
        )
        other = opened.enter_context(
            connect(f"{url.replace('http', 'ws', 1)}/ws", additional_headers=served.headers)
        )
        sse = opened.enter_context(httpx.stream("GET", f"{url}/stream", headers=mine, timeout=30))
        until(lambda: count(served) == 3, 10, "all watch")
        httpx.delete(
            served.url(f"/keys/{made['id']}"), headers=served.headers, timeout=20
        ).raise_for_status()
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                ws.recv(timeout=30)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4401
        assert closed.value.rcvd.reason.startswith("key_revoked: ")
        told = [json.loads(each[6:]) for each in sse.iter_lines() if each.startswith("data: ")]
        assert (told[-1]["type"], told[-1]["code"]) == ("error", "key_revoked")
        until(lambda: count(served) == 1, 10, "only the other one watches")
        events.emit("log", message="still there")
        heard: list[dict[str, Any]] = []
        while not any(each.get("message") == "still there" for each in heard):
            heard += json.loads(other.recv(timeout=20))
