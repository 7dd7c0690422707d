"""Publishing a hint is best effort: a broker that hangs holds nobody up."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import pytest
import redis
from kombu.exceptions import OperationalError

from academy.settings import Settings
from workers.app import send_hints


def test_a_broker_that_accepts_and_never_answers_is_given_up_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        url = f"redis://127.0.0.1:{hung.getsockname()[1]}/0"
        began = time.monotonic()
        with pytest.raises((OperationalError, redis.RedisError, OSError)):
            send_hints(replace(Settings(), redis_url=url), [("gpu", "job")])
        assert time.monotonic() - began < 3  # it hung, and was not waited for
