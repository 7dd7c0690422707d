"""A vLLM double as a process, and an API process in front of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from academy.host.processes import end_group, spawn
from tests.integration.api.conftest import (  # noqa: F401  # fixtures
    adapter,
    more_settings,
    served,
    settings,
)
from tests.integration.servers import Served, wait_until_ready
from tests.ports import next_port

KEY = "sk-of-the-model-server"
_DOUBLE = Path(__file__).with_name("fake_vllm.py")


@dataclass
class Vllm:
    """A process of the double, which can be ended and started again at its address."""

    port: int
    log: Path
    options: tuple[str, ...]
    updating: bool
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, str(_DOUBLE), "--port", str(self.port), "--model", "tiny"]
        with self.log.open("ab") as stream:
            self.process = spawn(
                [*command, *self.options],
                env={**os.environ, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": str(self.updating)},
                stdout=stream,
                stderr=stream,
            )
        wait_until_ready(Served(self.url, self.process, self.log))

    def stop(self) -> None:
        if self.process is not None:
            end_group(self.process, grace_seconds=10)
            self.process = None

    def asked(self, path: str) -> list[dict[str, Any]]:
        """The bodies that were posted to an address, in order; of all its lives."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if line.pop("path") == path]


@pytest.fixture
def start_vllm(tmp_path: Path) -> Iterator[Callable[..., Vllm]]:
    """Starts doubles that serve ``tiny``; `options` are those of its command line."""
    started: list[Vllm] = []

    def start(*options: str, updating: bool = True) -> Vllm:
        vllm = Vllm(next_port(), tmp_path / f"vllm-{len(started)}.log", options, updating)
        started.append(vllm)
        vllm.start()
        return vllm

    yield start
    for vllm in started:
        vllm.stop()


@pytest.fixture
def vllm(start_vllm: Callable[..., Vllm]) -> Vllm:
    """A double that asks for `KEY`."""
    return start_vllm("--api-key", KEY)
