"""Publishing a hint is best effort: a broker that hangs holds nobody up."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest
import redis

from academy.embedded.valkey import EmbeddedValkey
from academy.jobs.broker import BrokerAway, HintSender
from academy.settings import Settings


@pytest.mark.timing
def test_a_broker_that_accepts_and_never_answers_is_given_up_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        url = f"redis://127.0.0.1:{hung.getsockname()[1]}/0"
        began = time.monotonic()
        with pytest.raises(BrokerAway):
            HintSender(Settings().changed(redis_url=url)).send(["gpu"])
        assert time.monotonic() - began < 3  # it hung, and was not waited for


def test_a_broker_that_came_back_is_reached_over_a_new_connection(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    sender = HintSender(Settings().changed(redis_url=server.start()))
    sender.send(["gpu"])
    server.stop()
    with pytest.raises(BrokerAway):
        sender.send(["gpu"])
    url = server.start()
    try:
        sender.send(["gpu"])
        with redis.Redis.from_url(url, socket_timeout=10) as client:
            assert client.llen("gpu") >= 1
    finally:
        sender.close()
        server.stop()
