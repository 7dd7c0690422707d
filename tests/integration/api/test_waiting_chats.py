"""Chats that wait for a slow model server keep nobody else out."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from academy.settings import Settings
from tests.integration.api.conftest import Served
from tests.waiting import until


@pytest.fixture
def slow_server() -> Iterator[socket.socket]:
    """A model server that takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield listening


@pytest.fixture
def settings(settings: Settings, slow_server: socket.socket) -> Settings:
    host, port = slow_server.getsockname()
    return settings.changed(max_body_bytes=4 << 20, runtime_url=(f"http://{host}:{port}",))


def test_what_padded_a_chat_is_not_held_while_it_waits(
    served: Served, slow_server: socket.socket
) -> None:
    """Eight of the largest bodies fill the room; here nine of them wait for their answers."""
    chat = {"model": "default", "messages": [{"role": "user", "content": "hi"}]}
    body = json.dumps(chat).encode().ljust(4 << 20)
    url = f"http://{served.host}/v1/chat/completions"
    headers = {**served.headers, "Content-Type": "application/json"}

    def ask() -> None:
        with contextlib.suppress(httpx.HTTPError):  # the server ends with the test
            httpx.post(url, content=body, headers=headers, timeout=60)

    taken: list[socket.socket] = []
    slow_server.settimeout(60)
    for _ in range(9):
        threading.Thread(target=ask, daemon=True).start()
        # One after the other: together they would have to fit while they are read.
        taken.append(slow_server.accept()[0])
        until(lambda: len(taken[-1].recv(1 << 20, socket.MSG_PEEK)) > 0, 60, "the chat is sent on")
    lesson = json.dumps({"situation": "s", "solution": "t"}).encode().ljust(4 << 20)
    answer = httpx.post(served.url("/lessons"), content=lesson, headers=headers, timeout=60)
    for each in taken:
        each.close()
    assert answer.status_code == 201, answer.text
