"""A whole Academy on free ports with a tiny model, driven as its users drive it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.answers import answered
from tests.waiting import until
from tests.warm.python import WarmPython

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Stack:
    """A running `academy up`: its address, admin key and home."""

    url: str
    key: str
    home: Path

    @property
    def http(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url + "/api/v1/academy",
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=60,
        )

    def database_url(self) -> str:
        """The address of the embedded PostgreSQL, as the processes get it."""
        environment = Path(f"/proc/{self.child('api')}/environ").read_bytes().split(b"\0")
        name = b"ACADEMY_DATABASE_URL="
        return next(each for each in environment if each.startswith(name))[len(name) :].decode()

    def child(self, name: str) -> int:
        """The process id of one of its processes."""
        return int(json.loads((self.home / "run.json").read_text())["children"][name])

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 90) -> Any:
        """Wait for a condition and give its value; fails with the tail of each log."""
        values = []

        def is_true() -> bool:
            values.append(condition())
            return bool(values[-1])

        def tails() -> str:
            logs = self.home.glob("logs/*")
            return "\n".join(
                [what, *(f"--- {each.name}\n{each.read_text()[-1500:]}" for each in logs)]
            )

        until(is_true, seconds, tails)
        return values[-1]


@pytest.fixture(scope="package")
def stack(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, warm_trainers: WarmPython
) -> Iterator[Stack]:
    """One stack for all acceptance tests, whose trainers are warm; it ends with the last of them,
    since it costs a fifth of a core while it idles."""
    folder = tmp_path_factory.mktemp("stack")
    environment = {
        **os.environ,
        "ACADEMY_HOME": str(folder / "home"),
        "ACADEMY_MODELS": str(tiny_model.parent),
        "ACADEMY_BASE_MODEL": "tiny",
        "ACADEMY_REPO_ROOTS": str(ROOT),
        "ACADEMY_LEASE_SECONDS": "3",
        "ACADEMY_HEARTBEAT_SECONDS": "1",
        "ACADEMY_KEEPER_SECONDS": "1",
        "ACADEMY_HINT_SECONDS": "2",
        "ACADEMY_RETRY_SECONDS": "0.2",
        "ACADEMY_ARCHIVE_SECONDS": "1",
        "ACADEMY_TRAINER_COMMAND": f"{warm_trainers.executable} -m academy.trainer",
    }
    with (folder / "up.err").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "academy.cli", "up", "--port", "0", "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        assert line, f"no ready line; it said:\n{(folder / 'up.err').read_text()}"
        ready = json.loads(line)
        home = folder / "home"
        yield Stack(ready["url"], (home / "admin.key").read_text().strip(), home)
    finally:
        process.terminate()
        process.wait(timeout=120)
        process.stdout.close()


@pytest.fixture(scope="package")
def http(stack: Stack) -> Iterator[httpx.Client]:
    with stack.http as client:
        yield client


@pytest.fixture(scope="package")
def dataset_id(http: httpx.Client) -> str:
    """The shipped lessons and this repository's history, curated."""
    lessons = (ROOT / "examples" / "lessons.jsonl").read_bytes()
    sent = http.post("/lessons", content=lessons, headers={"Content-Type": "application/x-ndjson"})
    added = answered(sent, 201)
    assert added["added"] == len(lessons.splitlines())
    body = {"lessons_limit": 500, "git_commits_limit": 5, "repositories": [str(ROOT)]}
    made = answered(http.post("/dataset", json=body, headers={"Prefer": "wait=60"}, timeout=90))
    assert made["success"] and made["statistics"]["lessons_collected"] == added["added"]
    return str(made["dataset_id"])
