"""What is measured: PostgreSQL, Valkey, a keeper, a model server and one API process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis
from service_sides.waiting import answers, wait_for

from academy.embedded.postgres import EmbeddedPostgres
from academy.embedded.program import free_port
from academy.embedded.valkey import EmbeddedValkey
from academy.events import archive, stream
from academy.events.event import START
from academy.events.objects import LogObjects
from academy.host.processes import end_group, spawn
from academy.lifecycle import JobKind
from academy.settings import Settings
from academy.store import migrate
from academy.store.engine import Sessions, open_sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from academy.trainer.tiny import make_tiny_model

ROOT = Path(__file__).resolve().parents[2]
API = "/api/v1/academy"
MODEL = "tiny"


@dataclass
class Stack:
    """A running stack, and the processes that make it."""

    settings: Settings
    sessions: Sessions
    valkey: EmbeddedValkey
    key: str
    processes: dict[str, subprocess.Popen[bytes]]
    log: Path

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http://127.0.0.1:{self.settings.api.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What a request needs."""
        return {"Authorization": f"Bearer {self.key}"}

    def new_job(self) -> str:
        """A job that is running, at which no worker is; whoever has its id may write its events."""
        job = Job(
            id=jobs.new_id(JobKind.TRAINING), kind=JobKind.TRAINING, queue="gpu", parameters={}
        )
        with self.sessions.begin() as session:
            transitions.submit(session, job)
        with self.sessions.begin() as session:
            claimed = transitions.claim(session, "gpu", "benchmark", 36_000.0)
            assert claimed is not None and claimed.id == job.id
        return job.id

    def path(self, job_id: str) -> str:
        """Of the websocket of a job."""
        return f"{API}/jobs/{job_id}/logs/ws"

    def writer(self, job_id: str, attempt: int, *, lines: int, rate: float) -> Any:
        """A process that says lines as an attempt at the job; see `writer.py`."""
        script = str(ROOT / "benchmarks" / "watcher_sides" / "writer.py")
        return spawn(
            [sys.executable, script, job_id, str(attempt), str(lines), str(rate)],
            env={**os.environ, **self.settings.environ(), "PYTHONPATH": str(ROOT)},
        )

    def wait_for_lines(self, job_id: str, count: int) -> None:
        """Wait until the job's live stream has so many events."""
        client = redis.Redis.from_url(self.settings.redis.url)
        key = stream.key_of(job_id)
        wait_for(lambda: int(client.xlen(key)) >= count, f"{count} events", 60)
        client.close()

    def archived(self, job_id: str) -> int:
        """How many events of the job the archive has."""
        found, last = 0, START
        objects = LogObjects(self.settings)
        with self.sessions() as session:
            while page := archive.read(session, objects, job_id, last, 1000):
                found, last = found + len(page), page[-1].id
        return found

    def metric(self, name: str) -> float:
        """A figure of ``/metrics``."""
        text = httpx.get(f"{self.url}/metrics", headers=self.headers, timeout=30).text
        found = re.search(rf"(?m)^{name} (.*)$", text)
        return float(found[1]) if found else 0.0

    def api_processes(self) -> list[psutil.Process]:
        """gunicorn and its workers."""
        master = psutil.Process(self.processes["api"].pid)
        return [master, *master.children(recursive=True)]

    def start(self, name: str) -> None:
        """Start a process of the stack, and wait for the API if it is one."""
        module = {"api": "academy.api", "keeper": "workers.keeper"}.get(name, name)
        with self.log.open("ab") as log:
            self.processes[name] = spawn(
                [sys.executable, "-m", *module.split()],
                env={**os.environ, **self.settings.environ(), "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        if name == "api":
            wait_for(lambda: answers(f"{self.url}/readyz"), "the API", 60)


@contextmanager
def stack(folder: Path, **changed: Any) -> Iterator[Stack]:
    """A stack of its own in `folder`, until the end."""
    postgres, valkey = EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey")
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        make_tiny_model(folder / "models" / MODEL)  # named as a chat asks for it
        runtime_port = free_port()
        settings = Settings().changed(
            home=folder / "home",
            database_url=postgres.start(),
            redis_url=valkey.start(),
            port=free_port(),
            log_level="WARNING",
            base_model=MODEL,
            runtime_url=(f"http://127.0.0.1:{runtime_port}",),
            **changed,
        )
        migrate.upgrade(settings.postgres.url)
        with open_sessions(settings, pool_size=5) as sessions:
            made = Stack(settings, sessions, valkey, "", processes, folder / "log")
            made.start("api")
            made.start("keeper")
            model = str(folder / "models" / MODEL)
            made.start(f"academy.runtime --model {model} --name {MODEL} --port {runtime_port}")
            made.key = (settings.home / "admin.key").read_text().strip()
            runtime = f"http://127.0.0.1:{runtime_port}/health"
            wait_for(lambda: answers(runtime), "the model server", 60)
            yield made
    except BaseException:
        if (folder / "log").exists():
            sys.stderr.write((folder / "log").read_text()[-4000:])
        raise
    finally:
        for each in processes.values():
            end_group(each, grace_seconds=20)
        valkey.stop()
        postgres.stop()
