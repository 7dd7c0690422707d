"""Servers as processes of a test: started on a free port, and waited for until they answer."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from academy.host.processes import end_group
from academy.settings import Settings
from tests.ports import next_port
from tests.waiting import until
from tests.warm.python import WarmPython


@dataclass(frozen=True)
class Served:
    """A server process, whose page at `health` answers 200 when it is ready."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path
    health: str = "/health"


def start_model_server(
    warm: WarmPython, model: Path, log: Path, options: Sequence[str] = ()
) -> Served:
    """Start `academy.runtime` with a model named ``tiny``."""
    port = next_port()
    given = ["--model", str(model), "--name", "tiny", "--port", str(port), *options]
    with log.open("wb") as stream:
        process = warm.start("academy.runtime", *given, stderr=stream, stdout=stream)
    return Served(f"http://127.0.0.1:{port}", process, log)


@contextmanager
def api_process(warm: WarmPython, settings: Settings, log: Path) -> Iterator[Served]:
    """An API process at the port of its settings, until the end; its log tells no traceback."""
    with log.open("wb") as output:
        process = warm.start(
            "academy.api",
            env={**os.environ, **settings.environ()},
            stdout=output,
            stderr=output,
        )
    served = Served(f"http://127.0.0.1:{settings.api.port}", process, log, health="/readyz")
    try:
        wait_until_ready(served)
        yield served
    finally:
        end_group(process, grace_seconds=20)
    text = log.read_text()
    assert "Traceback" not in text, text


def wait_until_ready(served: Served, timeout_seconds: float = 90) -> None:
    """Wait until the server answers that it is ready; fails with its log."""

    def is_ready() -> bool:
        assert served.process.poll() is None, served.log.read_text()
        try:
            return httpx.get(served.url + served.health, timeout=5).status_code == 200
        except httpx.TransportError:
            return False  # it does not listen yet

    until(is_ready, timeout_seconds, lambda: f"it is ready:\n{served.log.read_text()}")
