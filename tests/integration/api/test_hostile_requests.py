"""Hostile requests over the wire: heads, chunks, headers and bodies, to every route of a server.

Each is answered, if it is answered, below 500 or with a problem that says what is away. With
FUZZ_SECONDS other ones are made up for so long.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import socket
import time
from collections.abc import Iterator

import pytest
from apiflask import APIFlask

from tests.integration.api.conftest import Served
from tests.integration.api.test_hostile_bodies import BODIES, HEADERS, PARTS, QUERIES

#: Requests that a run without FUZZ_SECONDS sends.
COUNT = 4000
SEED = 11
#: Heads that are none, or not quite.
BEGINNINGS = (
    "{method} {path} HTTP/1.1",
    "{method} {path} HTTP/1.0",
    "{method}  {path} HTTP/1.1",
    "{method} {path}",
    "{method} http://[::1]:9{path} HTTP/1.1",
    "{method} http://\x7f{path} HTTP/1.1",
    "{method} {path}#a HTTP/1.1",
    "{method} //evil.example{path} HTTP/1.1",
    "{method} {path}/../..//. HTTP/1.1",
    "OPTIONS * HTTP/1.1",
    "TRACE {path} HTTP/1.1",
    "PRI * HTTP/2.0",
)
LINES = (
    "Origin: http://[",
    "Origin: null",
    "Origin: http://evil.example\xff",
    "Host: a/b\\c",
    "Host: ",
    "Cookie: academy_session=\xff; academy_session=a",
    "Authorization: Bearer \xff\xfe",
    "Authorization: Basic !!!",
    "Content-Length: 5, 5",
    "Content-Length: -1",
    "Transfer-Encoding: chunked, chunked",
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x",
    "Upgrade: h2c\r\nHTTP2-Settings: \xff",
    "Range: bytes=99999999999999999999-",
    "If-Modified-Since: yesterday",
    "Accept: " + "a/b;q=0.1," * 300,
    "Accept-Language: *;q=\xe9",
    "Prefer: wait=\u0661".encode().decode("latin-1"),
    "X-Request-Id: \x01",
    "Idempotency-Key: \xe9",
    "Last-Event-ID: -1",
    "Expect: 100-continue",
    "Content-Encoding: gzip",
    "X-Forwarded-Proto: javascript",
)


def chunked(body: bytes, chance: random.Random) -> bytes:
    """The body in chunks, of which one may be broken."""
    sent, at = b"", 0
    while at < len(body):
        size = chance.choice((1, 7, 4096, 70_000))
        piece = body[at : at + size]
        sent += b"%x\r\n%s\r\n" % (len(piece), piece)
        at += size
    end = chance.choice(
        (b"0\r\n\r\n", b"0\r\n\r\n", b"", b"zz\r\n", b"0\r\nA: b\r\n\r\n", b"-1\r\n")
    )
    return sent + end


def requests(app: APIFlask, key: str, chance: random.Random) -> Iterator[bytes]:
    """Raw requests without an end: every route again and again, each time differently."""
    rules = sorted(app.url_map.iter_rules(), key=str)
    for rule in itertools.cycle(rules):
        path = rule.rule
        while "<" in path:
            start, end = path.index("<"), path.index(">") + 1
            path = path[:start] + chance.choice(PARTS) + path[end:]
        path += chance.choice(QUERIES)
        methods = sorted((rule.methods or set()) | {"BREW"})
        beginning = chance.choice(BEGINNINGS) if chance.random() < 0.2 else BEGINNINGS[0]
        lines = [beginning.format(method=chance.choice(methods), path=path)]
        if chance.random() < 0.9:
            lines.append("Host: localhost")
        if chance.random() < 0.8:
            lines.append(f"Authorization: Bearer {key}")
        lines += [f"{name}: {value}" for name, value in chance.choice(HEADERS).items()]
        lines += chance.sample(LINES, chance.choice((0, 0, 1, 2)))
        body, media_type = chance.choice(list(BODIES.values()))
        lines.append(f"Content-Type: {media_type}")
        if chance.random() < 0.3:
            lines.append("Transfer-Encoding: chunked")
            body = chunked(body, chance)
        else:
            lines.append(f"Content-Length: {len(body) + chance.choice((0, 0, 0, 0, -1, 1))}")
        text = "".join(f"{line}\r\n" for line in [*lines, "Connection: close", ""])
        yield text.encode("latin-1", "replace") + body


def answer_of(address: tuple[str, int], request: bytes) -> bytes:
    """What comes back until the server closes, or enough of it to know; empty if nothing does."""
    received = b""
    with socket.create_connection(address, timeout=30) as connection:
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while len(received) < 1 << 16 and (more := connection.recv(65536)):
                received += more
        except TimeoutError:
            raise
        except OSError:
            pass  # it had said enough and closed
    return received


def _status_in(text: bytes) -> int | None:
    try:
        status: int = json.loads(text)["status"]
    except ValueError:
        return None
    return status


@pytest.mark.timeout(1200)
def test_no_request_is_answered_by_a_failure(served: Served, routed: APIFlask) -> None:
    seconds = float(os.environ.get("FUZZ_SECONDS", 0))
    chance = random.Random(time.time_ns() if seconds else SEED)
    host, _, port = served.host.partition(":")
    failed: list[str] = []
    began, statuses = time.monotonic(), set()
    made = requests(routed, served.key, chance)
    for number, request in enumerate(made):
        if failed or (time.monotonic() - began > seconds if seconds else number >= COUNT):
            break
        answer = answer_of((host, int(port)), request)
        if not answer:
            continue  # half a request, or one that is over
        head, _, body = answer.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 100"):
            head, _, body = body.partition(b"\r\n\r\n")
        status = int(head.split()[1]) if head else 100
        statuses.add(status)
        what = f"{status} {body[:300]!r} for {request[:400]!r}"
        if status == 500 or status >= 505:
            failed.append(what)
        elif status >= 400 and b"text/html" not in head:
            if b"application/problem+json" not in head:
                failed.append(f"no problem: {what}")
            elif length := re.search(rb"(?i)content-length: (\d+)", head):
                # What follows is the answer to what the request had beyond its length; to HEAD
                # nothing is said but a length.
                text = b"" if request.lstrip().startswith(b"HEAD ") else body[: int(length[1])]
                if text and _status_in(text) != status:
                    failed.append(f"another status: {what}")
    assert not failed, "\n".join(failed)
    assert {200, 400, 401, 404, 405, 415, 422} <= statuses
    log = served.log.read_text()
    assert "nobody foresaw" not in log, log[-4000:]
