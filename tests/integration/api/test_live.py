"""A real gunicorn process: event streams, websockets, restarts."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from academy.events import stream
from academy.events.closing import close_events
from academy.events.sender import EventSender
from academy.host.processes import wait_until_gone
from academy.lifecycle import Status
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs
from tests.waiting import until

BASE = "/api/v1/academy"

#: What the fixture `served` gives (conftest.py).
Served = Any


@pytest.fixture
def write(settings: Settings, sessions: Sessions, job_id: str) -> Callable[..., None]:
    """Writes log lines as an attempt at the job, and its end."""

    def write(lines: int, *, attempt: int = 1, end: bool = True, width: int = 10) -> None:
        with EventSender(settings, sessions) as sender, sender.open(job_id, attempt) as events:
            for number in range(lines):
                events.emit("log", level="info", message=f"{number:0{width}}")
            if end:
                events.emit("status", status=Status.FINISHED)
        if end:
            client = stream.connect(settings)
            close_events(sessions, client, job_id)
            client.close()

    return write


def server_sent(
    served: Served, job_id: str, until: int | None = None, **headers: str
) -> list[dict[str, Any]]:
    """The stream's events with their ids; all of them, or the first `until`."""
    found: list[dict[str, Any]] = []
    url = served.url(f"/train/{job_id}/logs/stream")
    with httpx.stream("GET", url, headers={**served.headers, **headers}, timeout=20) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-cache"
        assert answer.headers["X-Accel-Buffering"] == "no"
        identity = None
        for line in answer.iter_lines():
            if line.startswith("id: "):
                identity = line.removeprefix("id: ")
            elif line.startswith("data: "):
                found.append({"sse_id": identity, **json.loads(line.removeprefix("data: "))})
                if until is not None and len(found) >= until:
                    return found
    return found


def frames(ws: ClientConnection) -> list[dict[str, Any]]:
    """Every event until the server closes the socket."""
    found: list[dict[str, Any]] = []
    try:
        while True:
            found += json.loads(ws.recv(timeout=20))
    except ConnectionClosed:
        return found


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["id"] for event in events if "id" in event]


def expected(lines: int) -> list[str]:
    return [f"1-{seq}" for seq in range(1, lines + 2)]


def test_watchers_by_both_ways_get_every_event_once_and_are_let_go(
    served: Served, job_id: str, write: Callable[..., None]
) -> None:
    seen: dict[str, list[dict[str, Any]]] = {}
    closed: list[tuple[int | None, str | None]] = []

    def by_stream() -> None:
        seen["sse"] = server_sent(served, job_id)

    def by_socket() -> None:
        with served.watch(job_id) as ws:
            seen["ws"] = frames(ws)
            closed.append((ws.close_code, ws.close_reason))

    watchers = [threading.Thread(target=each) for each in (by_stream, by_socket)]
    for each in watchers:
        each.start()
    write(3000)
    for each in watchers:
        each.join(timeout=40)
    assert closed == [(1000, "the job is over")]
    for events in seen.values():
        assert (events[0]["type"], events[0]["job_id"]) == ("connected", job_id)
        assert ids(events) == expected(3000)
        assert events[1]["message"] == "0000000000"
        assert events[1]["line"] == 1
        assert (events[-1]["type"], events[-1]["status"]) == ("status", "finished")
    assert [event["sse_id"] for event in seen["sse"][1:]] == expected(3000)
    late = server_sent(served, job_id)
    assert ids(late) == expected(3000), "one that comes late gets the same"


def test_a_watcher_that_reconnects_goes_on_after_the_last_event(
    served: Served, job_id: str, write: Callable[..., None]
) -> None:
    write(500)
    first = server_sent(served, job_id, until=101)
    assert first[-1]["sse_id"] == "1-100"
    rest = server_sent(served, job_id, **{"Last-Event-ID": "1-100"})
    assert ids(rest) == expected(500)[100:]
    with served.watch(job_id, "?after=1-499") as ws:
        assert ids(frames(ws)) == ["1-500", "1-501"]
    with served.watch(job_id, "?after=1-501") as ws:
        assert ids(frames(ws)) == []


def test_a_watcher_that_does_not_read_gets_whole_frames_when_it_does(
    served: Served, job_id: str, write: Callable[..., None]
) -> None:
    with served.watch(job_id, max_queue=1, max_size=None) as ws:
        assert json.loads(ws.recv(timeout=20))[0]["type"] == "connected"
        # More than both sockets' buffers hold, so the server has to wait in the middle of a frame.
        write(6000, width=3000)
        assert ids(frames(ws)) == expected(6000)


@pytest.mark.parametrize("more_settings", [{"ping_seconds": 0.5}])
def test_quiet_watchers_are_pinged(served: Served, job_id: str) -> None:
    url = served.url(f"/train/{job_id}/logs/stream")
    with httpx.stream("GET", url, headers=served.headers, timeout=20) as answer:
        assert ": ping" in iter(answer.iter_lines())


def test_a_websocket_without_right_or_reason_is_closed_with_a_code(
    served: Served, job_id: str
) -> None:
    def refused(path: str, headers: dict[str, str]) -> tuple[int | None, str]:
        with connect(served.url(path, "ws"), additional_headers=headers, open_timeout=20) as ws:
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=20)
            return ws.close_code, ws.close_reason or ""

    path = f"/train/{job_id}/logs/ws"
    code, reason = refused(path, {})
    assert (code, reason.split(":")[0]) == (4401, "key_missing")
    assert refused(f"{path}?ticket=nonsense", {})[0] == 4401
    assert refused("/train/none/logs/ws", served.headers)[0] == 4404
    assert refused(f"{path}?after=nonsense", served.headers)[0] == 4400
    assert refused(f"{path}?befor=1-1", served.headers)[0] == 4400
    ticket = httpx.post(served.url("/tickets"), headers=served.headers, timeout=20).json()["ticket"]
    url = served.url(f"{path}?ticket={ticket}", "ws")
    with connect(url, origin=f"http://{served.host}", open_timeout=20) as ws:  # type: ignore[arg-type]
        assert json.loads(ws.recv(timeout=20))[0]["type"] == "connected"
    with pytest.raises(InvalidStatus) as strange:
        connect(url, origin="http://evil.example", open_timeout=20)  # type: ignore[arg-type]
    assert strange.value.response.status_code == 403
    plain = httpx.get(served.url(path), headers=served.headers, timeout=20)
    assert (plain.status_code, plain.headers["Content-Type"]) == (400, "application/problem+json")


def test_half_a_body_and_a_body_without_end_are_refused(served: Served) -> None:
    line = b'{"situation": "a", "solution": "b"}\n'
    host, _, port = served.host.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as broken:
        broken.sendall(
            f"POST {BASE}/lessons HTTP/1.1\r\nHost: {served.host}\r\nX-API-Key: {served.key}\r\n"
            f"Content-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n".encode()
            + line
        )
        broken.shutdown(socket.SHUT_WR)
        answer = broken.recv(65536)
    assert b" 400 " in answer.splitlines()[0]
    headers = {**served.headers, "Content-Type": "application/x-ndjson"}
    for size in (100_000, 300_000):  # cut at the limit, this would be whole lines
        chunks = (line for _ in range(size // len(line) + 1))
        long = httpx.post(served.url("/lessons"), content=chunks, headers=headers, timeout=20)
        assert (long.status_code, long.json()["code"]) == (413, "body_too_large")
    url = served.url("/lessons/stats")
    statistics = httpx.get(url, headers=served.headers, timeout=20).json()
    assert statistics["total_lessons"] == 0


@pytest.mark.timing
def test_a_stop_does_not_wait_for_connections_that_are_kept_open(served: Served) -> None:
    with httpx.Client(headers=served.headers, timeout=20) as http:
        assert http.get(served.url("/jobs")).status_code == 200
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(timeout=20) == 0
        assert time.monotonic() - began < 4


@pytest.mark.timing
def test_a_stop_ends_open_streams_and_leaves_no_process(served: Served, job_id: str) -> None:
    workers = psutil.Process(served.process.pid).children()
    assert len(workers) == 2
    with served.watch(job_id) as ws:
        ws.recv(timeout=20)
        began = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=20)
        assert ws.close_code == 1001
        assert served.process.wait(timeout=20) == 0
        assert time.monotonic() - began < 10
    assert all(wait_until_gone(each.pid, 5) for each in workers)


def test_the_workers_die_with_their_killed_master(served: Served) -> None:
    workers = psutil.Process(served.process.pid).children()
    assert len(workers) == 2
    served.process.kill()
    assert all(wait_until_gone(each.pid, 10) for each in workers)
    with socket.create_server(("127.0.0.1", int(served.host.rpartition(":")[2]))):
        pass  # the port is free again


def test_a_killed_api_leaves_the_job_and_its_remembered_answer_or_neither(
    served: Served, sessions: Sessions, dataset: str
) -> None:
    """The requests that were in the air when it died are settled one way or the other."""
    answers: dict[str, int] = {}

    def send(number: int) -> None:
        headers = {**served.headers, "Idempotency-Key": f"k{number}"}
        try:
            answer = httpx.post(served.url("/train"), json={}, headers=headers, timeout=20)
            answers[f"k{number}"] = answer.status_code
        except httpx.TransportError:
            pass  # it was killed before it could answer

    senders = [threading.Thread(target=send, args=(number,)) for number in range(20)]
    for each in senders:
        each.start()
    until(
        lambda: len(answers) >= 3 or not any(each.is_alive() for each in senders),
        60,
        "three answers",
        poll=0.005,
    )
    served.process.kill()
    for each in senders:
        each.join(timeout=30)
    assert set(answers.values()) <= {202}
    with sessions() as session:
        made = {job.id for job in jobs.page(session, limit=100)}
        remembered = {row["body"]["job_id"] for row in _remembered(session)}
    assert made == remembered
    assert len(made) >= len(answers)


def _remembered(session: Any) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from academy.store.access.tables import IdempotentRequest

    return list(session.scalars(select(IdempotentRequest.answer)))


def test_the_api_says_why_it_cannot_start(settings: Settings, free_port: int) -> None:
    for change, word in (
        ({"database_url": "postgresql://a:b@127.0.0.1:9/c"}, "PostgreSQL"),
        ({"database_url": "mysql://x"}, "ACADEMY_DATABASE_URL"),
    ):
        environ = settings.changed(port=free_port, **change).environ()  # type: ignore[arg-type]
        done = subprocess.run(
            [sys.executable, "-m", "academy.api"],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        assert word in done.stderr
        assert "Traceback" not in done.stderr
