"""The second process of an API: what it answers, and that it keeps nobody waiting."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading

import httpx
import psutil
import pytest

from academy.api.handover import SMALL_BODY_BYTES
from academy.settings import Settings
from tests.integration.api.conftest import Served
from tests.waiting import until

LARGE = "x" * (2 * SMALL_BODY_BYTES)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.changed(max_body_bytes=16 << 20)


def lesson(number: int) -> dict[str, str]:
    return {"situation": f"{number} {LARGE}", "solution": "yes"}


def answer_to(served: Served, *sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the one answer to raw bytes, until the server closes."""
    host, _, port = served.host.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        for each in sent:
            connection.sendall(each)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while more := connection.recv(65536):
            received += more
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, body


def head(served: Served, *lines: str, path: str = "/api/v1/academy/lessons") -> bytes:
    given = [
        f"POST {path} HTTP/1.1",
        f"Host: {served.host}",
        f"Authorization: Bearer {served.key}",
        "Content-Type: application/json",
        *lines,
    ]
    return "".join(f"{line}\r\n" for line in [*given, ""]).encode()


def workers(served: Served) -> tuple[psutil.Process, psutil.Process]:
    """The one with the port and the one for large bodies, which is nicer."""
    found = psutil.Process(served.process.pid).children()
    first, second = sorted(found, key=lambda each: each.nice())
    return first, second


def test_small_and_large_bodies_are_answered_alike(served: Served) -> None:
    with httpx.Client(headers=served.headers, timeout=20) as client:
        for number, text in enumerate(("small", LARGE, LARGE * 6)):
            sent = {"situation": f"{number} {text}", "solution": "yes"}
            answer = client.post(served.url("/lessons"), json=sent, headers={"X-Request-Id": "r1"})
            assert answer.status_code == 201, answer.text
            assert answer.headers["X-Request-Id"] == "r1"
        page = client.get(served.url("/lessons")).json()
    assert page["count"] == 3


def test_a_body_of_unknown_length_arrives_whole(served: Served) -> None:
    body = json.dumps(lesson(1)).encode()
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    answer = httpx.post(
        served.url("/lessons"),
        content=iter(pieces),
        headers={**served.headers, "Content-Type": "application/json"},
        timeout=20,
    )
    assert answer.status_code == 201, answer.text


def test_what_came_with_the_head_is_not_lost(served: Served) -> None:
    body = json.dumps(lesson(1)).encode()
    length = f"Content-Length: {len(body)}"
    whole = head(served, length) + body
    for cut in (len(whole), len(whole) - 1, len(whole) - len(body) + 1, len(whole) - len(body)):
        status, headers, text = answer_to(served, whole[:cut], whole[cut:])
        assert status == 201, text
        assert headers["connection"] == "close"


def test_what_comes_behind_a_large_body_breaks_no_answer_off(served: Served) -> None:
    body = json.dumps(lesson(1)).encode()
    behind = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 200
    status, headers, text = answer_to(
        served, head(served, f"Content-Length: {len(body)}") + body + behind
    )
    assert (status, headers["connection"]) == (201, "close"), text
    assert json.loads(text)["added"] == 1


def test_a_sender_that_waits_to_be_asked_is_asked(served: Served) -> None:
    body = json.dumps(lesson(1)).encode()
    host, _, port = served.host.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head(served, f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert connection.recv(1024).startswith(b"HTTP/1.1 201 ")


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        (b"zz\r\n{}\r\n0\r\n\r\n", "zz"),
        (b"-1\r\n{}\r\n0\r\n\r\n", "-1"),
        (b"2\r\n{}0\r\n\r\n", "chunk"),
        (b"5\r\n{}", "ended in the middle"),
        (b"", "ended in the middle"),
        (b"2\r\n{}\r\n", "ended in the middle"),
        (b"2;a=\r\x01\n{}\r\n0\r\n\r\n", "bad"),
    ],
)
def test_broken_chunks_are_called_so(served: Served, chunks: bytes, said: str) -> None:
    status, headers, body = answer_to(served, head(served, "Transfer-Encoding: chunked"), chunks)
    problem = json.loads(body)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert problem["code"] in {"body_broken", "bad_request", "invalid_request"}
    assert said in problem["detail"].lower() or said == "bad"


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 200 + b"\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400),
        (b"GE<T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nBad Name: a\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: magic\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417),
    ],
)
def test_what_is_no_request_is_answered_by_a_problem(
    served: Served, request_head: bytes, status: int
) -> None:
    answered, headers, body = answer_to(served, request_head)
    assert (answered, headers["content-type"]) == (status, "application/problem+json")
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["error"]["message"]
    assert b"a" * 200 not in body


def test_a_stopped_second_process_holds_up_nobody_else(served: Served) -> None:
    _, second = workers(served)
    second.send_signal(signal.SIGSTOP)
    waiting: list[int] = []

    def send(number: int) -> None:
        answer = httpx.post(
            served.url("/lessons"), json=lesson(number), headers=served.headers, timeout=90
        )
        waiting.append(answer.status_code)

    senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for each in senders:
        each.start()
    with httpx.Client(headers=served.headers, timeout=10) as client:
        for number in range(20):
            assert client.get(served.url("/jobs")).status_code == 200
            sent = {"situation": f"small {number}", "solution": "yes"}
            assert client.post(served.url("/lessons"), json=sent).status_code == 201
    assert not waiting
    second.send_signal(signal.SIGCONT)
    for each in senders:
        each.join(timeout=60)
    assert waiting == [201] * 4


def test_a_killed_second_process_is_replaced_and_the_next_request_waits_for_it(
    served: Served,
) -> None:
    first, second = workers(served)
    os.kill(second.pid, signal.SIGKILL)
    answer = httpx.post(served.url("/lessons"), json=lesson(1), headers=served.headers, timeout=60)
    assert answer.status_code == 201
    now_first, now_second = workers(served)
    assert (now_first.pid, now_second.pid != second.pid) == (first.pid, True)


def test_both_processes_answers_are_counted(
    served: Served,
) -> None:
    def counted() -> float:
        text = httpx.get(f"http://{served.host}/metrics", headers=served.headers, timeout=20).text
        lines = [
            line
            for line in text.splitlines()
            if line.startswith("academy_http_requests_total{") and 'method="POST"' in line
        ]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    for sent in ({"situation": "small", "solution": "yes"}, lesson(1), lesson(2)):
        httpx.post(served.url("/lessons"), json=sent, headers=served.headers, timeout=20)
    until(lambda: counted() == 3, 20, "three answers are counted")


def test_a_stop_lets_a_large_request_end(served: Served) -> None:
    body = json.dumps(lesson(1)).encode()
    host, _, port = served.host.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head(served, f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")  # it is being answered
        served.process.send_signal(signal.SIGTERM)
        connection.sendall(body)
        assert connection.recv(1024).startswith(b"HTTP/1.1 201 ")
    assert served.process.wait(timeout=20) == 0


def test_bad_large_bodies_get_the_same_problem_as_small_ones(
    served: Served,
) -> None:
    with httpx.Client(headers=served.headers, timeout=30) as client:
        for content, status in (
            (b'{"tags": [' + b"0," * 100_000 + b"0]}", 422),
            (b"{" + b",".join(b'"n%d":1' % (n % 40_000) for n in range(40_002)) + b"}", 400),
            (b'"' + b"x" * 100_000, 400),
            (b"\xff" * 100_000, 400),
            (b" " * (17 << 20), 413),
        ):
            answer = client.post(
                served.url("/lessons"),
                content=content,
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code == status, answer.text
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert len(answer.content) < 40_000


@pytest.mark.parametrize(
    "lines",
    [
        ("Upgrade: websocket", "Connection: Upgrade"),
        ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x"),
        ("Host: a", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 12"),
        ("Host: a", "Upgrade: other", "Connection: Upgrade"),
    ],
)
def test_a_handshake_that_is_none_is_answered_and_the_connection_closed(
    served: Served, lines: tuple[str, ...]
) -> None:
    path = "/api/v1/academy/jobs/nobody/logs/ws"
    sent = "".join(f"{line}\r\n" for line in [f"GET {path} HTTP/1.1", *lines, ""]).encode()
    status, headers, body = answer_to(served, sent)
    assert (status in {400, 422}, headers["content-type"]) == (True, "application/problem+json")
    assert json.loads(body)["code"] == "invalid_request"


def test_a_websocket_with_a_body_is_one_all_the_same(served: Served) -> None:
    lines = (
        f"Host: {served.host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"Authorization: Bearer {served.key}",
        "Transfer-Encoding: chunked",
    )
    path = "/api/v1/academy/jobs/nobody/logs/ws"
    sent = "".join(f"{line}\r\n" for line in [f"GET {path} HTTP/1.1", *lines, ""]).encode()
    status, headers, _ = answer_to(served, sent + b"0\r\n\r\n")
    assert (status, headers["upgrade"].lower()) == (101, "websocket")


def test_more_bodies_than_fit_are_refused_and_the_others_taken(served: Served) -> None:
    """Eight of the largest bodies fit. What a request took is free again when it is over."""
    size = 15 << 20
    body = json.dumps({"situation": "x" * size, "solution": "y"}).encode()
    length = f"Content-Length: {len(body)}"
    host, _, port = served.host.partition(":")
    waiting = []
    for _ in range(8):
        connection = socket.create_connection((host, int(port)), timeout=20)
        connection.sendall(head(served, length) + body[:-1])
        waiting.append(connection)

    def is_refused() -> bool:
        status, headers, text = answer_to(served, head(served, length) + body)
        if status == 503:
            assert json.loads(text)["code"] == "too_many_bodies"
            assert headers["retry-after"] == "5"
        return status == 503

    until(is_refused, 60, "what the eight sent so far is in memory")
    small = httpx.post(
        served.url("/lessons"),
        json={"situation": "a", "solution": "b"},
        headers=served.headers,
        timeout=20,
    )
    assert small.status_code == 201, "small bodies are answered elsewhere"
    for connection in waiting:
        connection.close()
    until(lambda: not is_refused(), 60, "the eight are given up, and there is room again")


@pytest.mark.parametrize("chunked", [False, True])
def test_the_largest_body_that_is_allowed_is_taken_and_one_byte_more_is_not(
    served: Served, settings: Settings, chunked: bool
) -> None:
    most = settings.api.max_body_bytes
    told = "Transfer-Encoding: chunked" if chunked else "Content-Length: {}"
    for size, expected in ((most, 201), (most + 1, 413)):
        body = json.dumps(lesson(size)).encode().ljust(size)
        sent = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if chunked else body
        status, _, answer = answer_to(served, head(served, told.format(size)), sent)
        assert status == expected, answer
    assert f"larger than the {most} bytes" in json.loads(answer)["detail"]
