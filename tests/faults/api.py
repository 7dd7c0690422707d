"""The API as a process of the stack, and a client of it that survives its death."""

from __future__ import annotations

import random
import threading
from typing import Any

import httpx

from academy.embedded.program import port_is_free
from tests.faults.programs import Program
from tests.faults.stack import Stack
from tests.waiting import until

#: Below the ports that the kernel gives to outgoing connections, so that none of those takes the
#: port of a killed API before it is started again. Each API of this process has its own.
_ports = iter(random.sample(range(20_000, 32_000), 1_000))
_lock = threading.Lock()


class Api:
    """One API process and its admin's client."""

    def __init__(self, stack: Stack, **changed: Any) -> None:
        self._stack = stack
        port = _port()
        self.program: Program = stack.program("api", ["academy.api"], {"port": port, **changed})
        self.url = f"http://127.0.0.1:{port}/api/v1/academy"
        self.wait()
        self._key = (stack.home / "admin.key").read_text().strip()

    def wait(self) -> None:
        """Until it answers."""
        until(self._answers, 90, lambda: f"the API answers\n{self._stack.logs()}", poll=0.1)

    def train(self, key: str | None = None) -> str:
        """``POST /train`` of a short job; its id. Raises `httpx.HTTPError` if it is cut off."""
        headers = {"Authorization": f"Bearer {self._key}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        body = {"dataset_id": "dataset_one", "max_steps": 3}
        answer = httpx.post(f"{self.url}/train", json=body, headers=headers, timeout=30)
        answer.raise_for_status()
        job_id = str(answer.json()["job_id"])
        self._stack.submitted[job_id] = {"steps": 3}
        return job_id

    def watchers(self) -> int:
        """How many event streams are open."""
        headers = {"Authorization": f"Bearer {self._key}"}
        found: int = httpx.get(f"{self.url}/status", headers=headers, timeout=30).json()["watchers"]
        return found

    def _answers(self) -> bool:
        try:
            return httpx.get(self.url.replace("/api/v1/academy", "/readyz"), timeout=5).is_success
        except httpx.HTTPError:
            return False


def _port() -> int:
    with _lock:
        return next(port for port in _ports if port_is_free(port))
