"""A new kind of job is one file and one line; everything else asks its declaration."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from academy.host.processes import end_group, spawn
from academy.settings import Settings
from tests.waiting import until

#: The one file.
ECHO = '''
"""An echo, as a kind of job: it says a text into its log."""

from pydantic import BaseModel, ConfigDict, Field

from academy.jobs import kinds
from academy.jobs.attempt import Attempt, Record
from academy.lifecycle import JobKind
from academy.queues import CURATION
from academy.settings import Settings
from academy.store.engine import Session
from academy.store.jobs import transitions
from academy.store.jobs.tables import Job


class EchoRequest(BaseModel):
    """What to say, and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(max_length=100)
    times: int = Field(1, ge=1, le=1000)


def submit(session: Session, settings: Settings, request: EchoRequest, created_by) -> Job:
    parameters = request.model_dump(mode="json")
    job = kinds.new_job(JobKind.ECHO, parameters=parameters, created_by=created_by)
    transitions.submit(session, job)
    return job


def echo(attempt: Attempt) -> Record:
    attempt.start()
    request = EchoRequest.model_validate(attempt.job.parameters)
    for _ in range(request.times):
        attempt.check()
        attempt.events.emit("log", level="info", message=request.text)
    result = {"said": request.times}
    return lambda session: transitions.finish(session, attempt.claim, result)


KIND = kinds.Kind(
    name=JobKind.ECHO,
    summary="A text is said again.",
    queue=CURATION,
    request=EchoRequest,
    submit=submit,
    work=echo,
    titles={"en": "Echo & more"},
)
'''
#: The one line elsewhere, and the line above it.
ABOVE = '    TRAINING = "training", "academy.training.kind"'
LINE = '    ECHO = "echo", "academy.echo"\n'


@dataclass
class Tree:
    """A checkout with the new kind, and the processes that run from it."""

    folder: Path
    environ: dict[str, str]
    url: str

    def command(self, *words: str) -> str:
        """What `academy` prints."""
        done = subprocess.run(
            [sys.executable, "-m", "academy.cli", *words],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def http(self) -> httpx.Client:
        key = Path(self.environ["ACADEMY_HOME"], "admin.key").read_text().strip()
        base = f"{self.url}/api/v1/academy"
        return httpx.Client(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=30)


@pytest.fixture
def tree(
    empty_database_url: str, valkey_url: str, free_port: int, repository: Path, tmp_path: Path
) -> Iterator[Tree]:
    folder = tmp_path / "tree"
    for name in ("academy", "workers", "migrations"):
        shutil.copytree(
            repository / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(repository / "celeryconfig.py", folder)
    (folder / "academy" / "echo.py").write_text(ECHO.lstrip())
    lifecycle = folder / "academy" / "lifecycle.py"
    text = lifecycle.read_text()
    at = text.index("\n", text.index(ABOVE)) + 1
    lifecycle.write_text(text[:at] + LINE + text[at:])
    settings = Settings.from_env(
        {
            "ACADEMY_HOME": str(tmp_path / "home"),
            "ACADEMY_DATABASE_URL": empty_database_url,
            "ACADEMY_REDIS_URL": valkey_url,
            "ACADEMY_PORT": str(free_port),
            "ACADEMY_HEARTBEAT_SECONDS": "0.5",
            "ACADEMY_ARCHIVE_SECONDS": "0.2",
        }
    )
    environ = {**os.environ, **settings.environ(), "PYTHONPATH": str(folder)}
    url = f"http://127.0.0.1:{free_port}"
    made = Tree(folder, {**environ, "ACADEMY_URL": url}, url)
    made.command("migrate")
    processes = []
    try:
        for name, module in (("api", ["academy.api"]), ("worker", ["workers", "curation"])):
            with (tmp_path / f"{name}.log").open("wb") as log:
                processes.append(
                    spawn(
                        [sys.executable, "-m", *module],
                        cwd=folder,
                        env=environ,
                        stdout=log,
                        stderr=log,
                    )
                )
        _until(lambda: _is_ready(url), tmp_path)
        yield made
    finally:
        for process in processes:
            end_group(process, grace_seconds=20)


def test_a_file_and_a_line_are_a_kind_for_api_worker_events_and_commands(
    tree: Tree, tmp_path: Path
) -> None:
    with tree.http() as http:
        job_id = tree.command("submit", "echo", "--set", "text=hello", "--set", "times=3").strip()
        assert job_id.startswith("echo_")
        _until(lambda: http.get(f"/jobs/{job_id}").json()["status"] == "finished", tmp_path)
        shown = http.get(f"/jobs/{job_id}/status").json()
        assert (shown["kind"], shown["result"], shown["can_pause"]) == ("echo", {"said": 3}, False)
        # what it said, by command and by stream, which ends after the terminal status
        assert tree.command("logs", job_id).count("hello") == 3
        stream = http.get(f"/jobs/{job_id}/logs/stream").text
        events = [json.loads(line[6:]) for line in stream.splitlines() if line[:6] == "data: "]
        assert [each["type"] for each in events].count("log") >= 3
        assert (events[-1]["type"], events[-1]["status"]) == ("status", "finished")
        # lists, status, schedules
        assert job_id in tree.command("jobs", "--kind", "echo")
        assert "echo" in tree.command("kinds")
        kinds = {each["kind"]: each for each in http.get("/status").json()["kinds"]}
        assert (kinds["echo"]["jobs"]["finished"], kinds["echo"]["workers"]) == (1, 1)
        tree.command("schedules", "add", "often", "echo", "--every", "1d", "--set", "text=again")
        # what its request model, its kind and its worker refuse is refused by name
        bad = {"kind": "echo", "request": {"text": "x", "times": 0}}
        refused = http.post("/jobs", json=bad)
        assert refused.status_code == 422
        assert [each["pointer"] for each in refused.json()["errors"]] == ["/request/times"]
        refused = http.post(f"/jobs/{job_id}/pause")
        assert refused.status_code == 409
        assert "'echo', which cannot be paused" in refused.json()["detail"]
        assert http.delete(f"/jobs/{job_id}").status_code == 409  # it is over
        refused = http.post("/jobs", json={"kind": "ecko", "request": {}})
        assert refused.status_code == 422
        assert "'curation' or 'training' or 'echo'" in refused.json()["errors"][0]["allowed"]
    url = tree.environ["ACADEMY_DATABASE_URL"]
    with (
        psycopg.connect(url, connect_timeout=10) as database,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        database.execute("UPDATE jobs SET kind = 'ecko'")


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _until(condition: Callable[[], Any], logs: Path, seconds: float = 90) -> None:
    def tails() -> str:
        return "\n".join(f"--- {log}\n{log.read_text()[-3000:]}" for log in logs.glob("*.log"))

    until(condition, seconds, tails)
