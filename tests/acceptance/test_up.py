"""`academy up` and `down` with real servers and processes, and what a SIGKILL leaves: nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from academy.host.processes import is_alive
from tests.waiting import until
from tests.warm.python import WarmPython

CHILDREN = {"postgres", "valkey", "api", "keeper", "worker-curation", "worker-gpu"}


class Up:
    """A running ``academy up`` and how to look at it."""

    def __init__(self, home: Path, commands: WarmPython, *arguments: str) -> None:
        self.home = home
        self.commands = commands
        self.env = {**os.environ, "ACADEMY_HOME": str(home)}
        self.env["ACADEMY_MODELS"] = str(home / "no-models")
        self.env["ACADEMY_HANG_SECONDS"] = "1"
        self.log = (home.parent / f"{home.name}.err").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "academy.cli", "up", "--json", *arguments],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )

    def ready(self) -> dict[str, Any]:
        """The ready line; fails with what `up` said if it does not come."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"no ready line; it said:\n{self.said()}"
        found: dict[str, Any] = json.loads(line)
        return found

    def said(self) -> str:
        self.log.flush()
        return Path(self.log.name).read_text()

    def run_file(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.home / "run.json").read_text())
        return found

    def academy(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What a command says that finds this stack by its home."""
        return self.commands.run("academy.cli", *arguments, env=self.env, timeout_seconds=150)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=120)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()


@pytest.fixture
def up(warm_commands: WarmPython, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def start(*arguments: str) -> Up:
        started.append(Up(tmp_path / "home", warm_commands, *arguments))
        return started[-1]

    yield start
    for each in started:
        each.close()


def left_of(home: Path) -> list[str]:
    """Every process that was started for this home, down to grandchildren, by its environment."""
    found = []
    for each in psutil.process_iter(["pid", "cmdline", "environ"]):
        if (each.info["environ"] or {}).get("ACADEMY_HOME") == str(home):
            found.append(f"{each.pid} {' '.join(each.info['cmdline'] or [])}")
    return found


def test_a_stack_survives_a_sigkill_repairs_itself_and_stops(up: Callable[..., Up]) -> None:
    first = up("--port", "0")
    ready = first.ready()
    run = first.run_file()
    assert ready["pid"] == run["pid"] == first.process.pid
    assert set(run["children"]) == CHILDREN and run["state"] == "ready"
    assert any("runtime" in line and "no-models" in line for line in ready["skipped"])
    assert ready["dashboard"].startswith(f"{ready['url']}/academy?ticket=")
    assert (first.home / "admin.key").stat().st_mode & 0o777 == 0o600

    # A second one on the same home says who is there.
    second = first.academy("up")
    assert second.returncode == 1
    assert f"process {run['pid']}" in second.stderr and ready["url"] in second.stderr

    # The commands find the home's address and key.
    added = first.academy("lessons", "add", "--situation", "Kept?", "--solution", "Kept.")
    assert added.returncode == 0, added.stderr

    first.process.kill()
    first.process.wait(timeout=10)
    until(lambda: not left_of(first.home), 20, "no process is left after the SIGKILL")

    stack = up("--port", "0")  # the run.json of the killed one still lies there
    ready = stack.ready()
    run = stack.run_file()
    listed = stack.academy("lessons", "list", "--json")
    assert "Kept?" in listed.stdout, listed.stderr

    # What dies comes back, the database on the same port.
    for name in ("keeper", "postgres"):
        os.kill(run["children"][name], signal.SIGKILL)
    until(
        lambda: (
            {"keeper", "postgres"}
            <= {
                name
                for name, pid in stack.run_file()["children"].items()
                if pid != run["children"].get(name) and is_alive(pid)
            }
        ),
        60,
        "a new keeper and a new postgres",
    )
    assert stack.run_file()["ports"] == run["ports"]
    until(
        lambda: httpx.get(f"{ready['url']}/readyz", timeout=10).status_code == 200,
        60,
        "the API finds the database again",
    )

    # What hangs is started again, the servers on the same ports.
    run = stack.run_file()
    hanging = ("api", "keeper", "postgres", "valkey")
    for name in hanging:
        os.kill(run["children"][name], signal.SIGSTOP)
    until(
        lambda: all(stack.run_file()["children"].get(n) != run["children"][n] for n in hanging),
        90,
        "a new process of each",
    )
    assert stack.run_file()["ports"] == run["ports"]

    def told() -> dict[str, str]:
        key = (stack.home / "admin.key").read_text().strip()
        try:
            status = httpx.get(
                f"{ready['url']}/api/v1/academy/status", headers={"X-API-Key": key}, timeout=30
            )
        except httpx.TransportError:
            return {}
        if status.status_code != 200 or all(each["late"] for each in status.json()["keepers"]):
            return {}
        return {each["name"]: each["why"] for each in status.json()["restarts"]}

    until(lambda: told() == dict.fromkeys(hanging, "is stopped"), 60, lambda: f"{told()}")
    checks = httpx.get(f"{ready['url']}/readyz", timeout=30).json()["checks"]
    assert checks["keeper"] == "ok" and "valkey is stopped" in checks["processes"]

    down = stack.academy("down")
    assert down.returncode == 0, down.stderr
    assert "stopped after" in down.stdout
    assert stack.process.wait(timeout=10) == 0
    assert left_of(stack.home) == []
    assert not (stack.home / "run.json").exists()


def test_an_interrupt_during_the_start_stops_what_was_started(up: Callable[..., Up]) -> None:
    stack = up("--port", "0")
    until(lambda: "postgres answers" in stack.said(), 60, "postgres starts")
    assert left_of(stack.home)
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.wait(timeout=60) == 1
    assert "interrupted" in stack.said()
    assert left_of(stack.home) == []
    assert not (stack.home / "run.json").exists()


def test_a_port_in_use_is_told_before_anything_starts(up: Callable[..., Up]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        stack = up("--port", str(port))
        assert stack.process.wait(timeout=30) == 1
    assert f"The API cannot listen on 127.0.0.1:{port}" in stack.said()
    assert not (stack.home / "postgres").exists()


def test_a_worker_command_with_two_slots_is_two_workers_that_end_with_it(
    tmp_path: Path, database_url: str, valkey_url: str
) -> None:
    home = tmp_path / "home"
    env = {**os.environ, "ACADEMY_HOME": str(home)}
    env |= {"ACADEMY_DATABASE_URL": database_url, "ACADEMY_REDIS_URL": valkey_url}
    command = [sys.executable, "-m", "academy.cli", "worker", "--queue", "curation", "--slots", "2"]
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)

    def registered() -> list[tuple[str, int]]:
        with psycopg.connect(database_url) as connection:
            return connection.execute("SELECT queue, pid FROM workers ORDER BY pid").fetchall()

    until(lambda: len(registered()) == 2, 60, "two workers register")
    assert {queue for queue, _ in registered()} == {"curation"}
    process.terminate()
    assert process.wait(timeout=60) == 0
    assert left_of(home) == []
