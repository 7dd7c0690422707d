"""Driving a server: clients and questions by processes of their own, and the memory it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from academy.host.processes import end_group, spawn

SIDES = Path(__file__).parent


class Server:
    """What clients connect to."""

    def __init__(self, port: int, headers: dict[str, str], processes: list[psutil.Process]) -> None:
        self.port = port
        self.headers = headers
        self.processes = processes

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        times = [each.cpu_times() for each in self.processes]
        return sum(each.user + each.system for each in times)

    def memory_mib(self) -> float:
        """Memory that is its own now."""
        return sum(each.memory_full_info().uss for each in self.processes) / (1 << 20)

    def files(self) -> int:
        """Open descriptors now."""
        return sum(each.num_fds() for each in self.processes)


class Clients(dict[str, Any]):
    """Figures of the clients, once `wait` returned."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__()
        self._process = process

    def wait(self) -> None:
        """Wait until every client has everything, or gave up."""
        assert self._process.stdout is not None
        self.update(json.loads(self._process.stdout.readline()))


def churn(server: Server, paths: list[str], count: int, seconds: float) -> dict[str, Any]:
    """Clients that come and go for a while; see `churn.py`."""
    plan = {
        "host": "127.0.0.1",
        "port": server.port,
        "headers": server.headers,
        "paths": paths,
        "clients": count,
        "seconds": seconds,
    }
    done = subprocess.run(
        [sys.executable, str(SIDES / "churn.py")],
        input=json.dumps(plan) + "\n",
        stdout=subprocess.PIPE,
        text=True,
        timeout=seconds + 120,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def clients(
    server: Server, paths: list[str], events: dict[str, int], *, steady: int, **more: Any
) -> Iterator[Clients]:
    """Clients of these paths, all connected; see `client.py`."""
    plan = {
        "host": "127.0.0.1",
        "port": server.port,
        "headers": server.headers,
        "paths": paths,
        "events": events,
        "steady": steady,
        "seconds": 240,
        **more,
    }
    process = subprocess.Popen(
        [sys.executable, str(SIDES / "client.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(plan) + "\n")
        process.stdin.flush()
        said = process.stdout.readline()
        assert said.strip() == "ready", said
        yield Clients(process)
    finally:
        process.kill()
        process.communicate()


class Asking:
    """Requests beside the watchers, by a process of its own; see `asking.py`."""

    def __init__(self, url: str, headers: dict[str, str], model: str | None = None) -> None:
        command = [sys.executable, str(SIDES / "asking.py"), url, model or ""]
        environ = {**os.environ, "ASKING_HEADERS": json.dumps(headers)}
        self._process = spawn(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self) -> dict[str, Any]:
        """End it; the times by route in milliseconds."""
        out, _ = self._process.communicate(b"stop\n", timeout=60)
        found: dict[str, Any] = json.loads(out)
        return found

    def kill(self) -> None:
        """End it, whatever it does."""
        end_group(self._process, grace_seconds=0)


class Peak:
    """The most memory that a server took meanwhile."""

    def __init__(self, server: Server) -> None:
        self.mib = 0.0
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(timeout=10)

    def _look(self) -> None:
        while not self._over.wait(0.5):
            self.mib = max(self.mib, self._server.memory_mib())


def wait_until(moment: float) -> None:
    """Sleep until the monotonic clock shows `moment`."""
    time.sleep(max(0.0, moment - time.monotonic()))
