"""Receivers of webhooks, and webhooks that lead to them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.webhooks import deliveries
from academy.store.webhooks.tables import Delivery
from academy.webhooks import keeping
from academy.webhooks.request import WebhookRequest
from tests.waiting import until


@dataclass
class Got:
    """A request as it came."""

    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


@dataclass
class Receiver:
    """A server that writes down what it is sent and answers as `answers` says (else 204)."""

    server: ThreadingHTTPServer
    got: list[Got] = field(default_factory=list)
    answers: Callable[[Got], int | tuple[int, dict[str, str], bytes]] = lambda got: 204

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?of=test"

    def types(self) -> list[str]:
        return [each.body["type"] for each in self.got]


@pytest.fixture
def receiver() -> Iterator[Callable[[], Receiver]]:
    """Starts receivers."""
    with ExitStack() as started:

        def start() -> Receiver:
            class Handler(BaseHTTPRequestHandler):
                protocol_version = "HTTP/1.1"

                def do_POST(self) -> None:
                    length = int(self.headers["Content-Length"])
                    names = {name.lower(): value for name, value in self.headers.items()}
                    got = Got({**names, ":path": self.path}, self.rfile.read(length))
                    answer = made.answers(got)
                    status, headers, body = (answer, {}, b"") if isinstance(answer, int) else answer
                    made.got.append(got)
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, format: str, *args: Any) -> None:
                    pass

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            server.daemon_threads = True
            made = Receiver(server)
            thread = threading.Thread(target=server.serve_forever, args=[0.02])
            thread.start()
            started.callback(server.server_close)
            started.callback(thread.join)
            started.callback(server.shutdown)
            return made

        yield start


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Receivers of this machine are allowed, and what failed is tried again soon."""
    return settings.changed(webhook_private=True, webhook_retry_seconds=0.05)


Hook = Callable[..., str]


@pytest.fixture
def hook(sessions: Sessions) -> Hook:
    """Keeps a webhook and returns its id."""

    def hook(url: str, *event_types: str) -> str:
        wanted = WebhookRequest(url=url, event_types=list(event_types or ["*"]))
        with sessions.begin() as session:
            return keeping.create(session, wanted, "ci").id

    return hook


@pytest.fixture
def settled(sessions: Sessions) -> Callable[[str, int], list[Delivery]]:
    """Waits until a webhook has so many deliveries and none is pending; the oldest first."""

    def settled(webhook_id: str, count: int) -> list[Delivery]:
        found: list[Delivery] = []

        def is_over() -> bool:
            with sessions() as session:
                found[:] = deliveries.page(session, webhook_id, state=None, limit=499, before=None)
            return len(found) == count and all(each.state != "pending" for each in found)

        def told() -> str:
            rows = [(each.type, each.state, each.attempts, each.last_error) for each in found]
            return f"{count} deliveries are settled: {rows}"

        until(is_over, 30, told)
        return found[::-1]

    return settled
