"""What the service costs a training: its time around a job, its share of the machine, its log.

    python benchmarks/service.py [--steps 100] [--only log|job] [--alone]

- log: a program in the trainer's place writes lines with their moment; this process reads the job's
  stream in Valkey. Then it computes with and without 10,000 lines a second beside it.
- job: a training of the demonstration's lessons goes through the API, the queue, a worker and the
  artifact store. The overhead is what the service adds before the trainer starts and after it ends,
  and the processor time of all other processes of Academy as a share of the machine meanwhile. With
  ``--alone`` the bare program ``python -m academy.trainer`` follows on the same spec, for the ratio
  of the two wall times; but two trainings on a shared machine differ by more.

Results go to benchmarks/results/service.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis
from service_sides.waiting import answers, wait_for

from academy import __version__
from academy.artifacts.store import ArtifactStore
from academy.basemodels import folders
from academy.embedded.postgres import EmbeddedPostgres
from academy.embedded.program import free_port
from academy.embedded.valkey import EmbeddedValkey
from academy.events.stream import key_of
from academy.host.processes import end_group, spawn
from academy.settings import Settings
from academy.store import migrate
from academy.store.data import datasets
from academy.store.engine import open_sessions
from academy.trainer.tiny import make_tiny_model

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "service.json"
NOISY = ROOT / "benchmarks" / "service_sides" / "noisy_trainer.py"
API = "/api/v1/academy"
JOB_SECONDS = 1800.0


def main() -> None:
    """Measure both, print the figures, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--only", choices=("log", "job"))
    parser.add_argument("--alone", action="store_true")
    options = parser.parse_args()
    result: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    about = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"academy": __version__, "python": platform.python_version()},
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    if options.only != "job":
        result["log"] = {**about, **measure_log()}
    if options.only != "log":
        result["job"] = {**about, **measure_job(options.steps, options.alone)}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


class Stack:
    """The servers, the API, a keeper and the workers, with the lessons as a dataset."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        url = f"http://127.0.0.1:{settings.api.port}"
        wait_for(lambda: answers(f"{url}/readyz"), "the API", 60)
        key = (settings.home / "admin.key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=url + API, headers=headers, timeout=90)
        lessons = (ROOT / "examples" / "lessons.jsonl").read_bytes()
        kind = {"Content-Type": "application/x-ndjson"}
        self.http.post("/lessons", content=lessons, headers=kind).raise_for_status()
        made = self.http.post(
            "/dataset", json={"git_commits_limit": 0}, headers={"Prefer": "wait=60"}
        )
        made.raise_for_status()

    def cpu_seconds(self) -> float:
        """Processor time of all processes but trainers, so far."""
        total = 0.0
        for child in psutil.Process().children(recursive=True):
            try:
                if "academy.trainer" not in " ".join(child.cmdline()):
                    times = child.cpu_times()
                    total += times.user + times.system
            except psutil.NoSuchProcess:
                continue
        return total


@contextmanager
def stack(folder: Path, **changed: Any) -> Iterator[Stack]:
    """A whole stack of its own in `folder`."""
    postgres, valkey = EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey")
    children: list[subprocess.Popen[bytes]] = []
    try:
        settings = Settings().changed(
            home=folder / "home",
            database_url=postgres.start(),
            redis_url=valkey.start(),
            port=free_port(),
            log_level="WARNING",
            **changed,
        )
        migrate.upgrade(settings.postgres.url)
        with (folder / "log").open("wb") as log:
            for module in ("academy.api", "workers.keeper", "workers curation", "workers gpu"):
                children.append(
                    spawn(
                        [sys.executable, "-m", *module.split()],
                        env={**os.environ, **settings.environ(), "PYTHONPATH": str(ROOT)},
                        stdout=log,
                        stderr=log,
                    )
                )
        yield Stack(settings)
    except BaseException:
        if (folder / "log").exists():
            sys.stderr.write((folder / "log").read_text()[-4000:])
        raise
    finally:
        for child in children:
            end_group(child, 20)
        valkey.stop()
        postgres.stop()


def measure_log() -> dict[str, Any]:
    """Seconds from a line's writing to Valkey, and products with and without a flood of lines."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tiny_model(folder / "models" / "tiny")
        command = ("python", str(NOISY))
        changed = {"models": (folder / "models",), "base_model": "tiny"}
        with stack(folder, trainer_command=command, **changed) as made:
            started = made.http.post("/train", json={"max_steps": 1})
            started.raise_for_status()
            job_id = started.json()["job_id"]
            waits = follow(made.settings.redis.url, job_id)
            job = wait_until_over(made, job_id)
    rounds = job["result"]["summary"]["rounds"]
    slower = [1 - each["loud"] / each["quiet"] for each in rounds]
    return {
        "lines_measured": len(waits),
        "to_valkey_ms": {
            "p50": round(1000 * statistics.median(waits), 2),
            "p99": round(1000 * statistics.quantiles(waits, n=100)[98], 2),
        },
        "rounds": rounds,
        "slower_with_10000_lines_a_second": round(statistics.median(slower), 4),
    }


def follow(redis_url: str, job_id: str) -> list[float]:
    """The waits of the lines that name their moment, until the trainer's result."""
    waits: list[float] = []
    last = "0-0"
    deadline = time.monotonic() + 300
    with redis.Redis.from_url(redis_url, socket_timeout=30) as client:
        while time.monotonic() < deadline:
            answer: Any = client.xread({key_of(job_id): last}, count=5000, block=1000)
            now = time.time()
            for _, entries in answer or []:
                for identity, fields in entries:
                    last = identity.decode()
                    event = json.loads(fields[b"e"])
                    message = event.get("message", "")
                    if message.startswith("sent "):
                        waits.append(now - float(message[5:]))
                    if event["type"] == "result":
                        return waits
    raise TimeoutError("the benchmark's program did not end in 300 s")


def measure_job(steps: int, alone: bool) -> dict[str, Any]:
    """A training through the service, and if `alone` once more without it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with stack(folder) as made:
            recipe = {"max_steps": steps, "num_epochs": 100, "max_eval_rows": 16}
            cpu, began, sent_at = made.cpu_seconds(), time.monotonic(), time.time()
            started = made.http.post("/train", json=recipe)
            started.raise_for_status()
            born_at, gone_at = trainer_life()
            job = wait_until_over(made, started.json()["job_id"])
            wall, ended_at = time.monotonic() - began, time.time()
            cpu = made.cpu_seconds() - cpu
            bare = bare_seconds(made, job, folder) if alone else None
    around = (born_at - sent_at) + (ended_at - gone_at)
    cores = os.cpu_count() or 1
    return {
        "steps": steps,
        "wall_seconds": round(wall, 2),
        "around_the_trainer_seconds": round(around, 2),
        "others_cpu_seconds": round(cpu, 2),
        "overhead": round(around / wall + cpu / (wall * cores), 4),
    } | (
        {}
        if bare is None
        else {"bare_trainer_seconds": round(bare, 2), "wall_ratio": round(wall / bare, 4)}
    )


def trainer_life() -> tuple[float, float]:
    """When the trainer's process was seen first and when it was gone, in seconds since 1970.

    The moment at which the kernel made it is known to psutil to the second only.
    """
    found: list[psutil.Process] = []

    def is_there() -> bool:
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "academy.trainer" in child.cmdline():
                    found.append(child)
                    return True
        return False

    wait_for(is_there, "the trainer", 60)
    born_at = time.time()
    found[0].wait(timeout=JOB_SECONDS)
    return born_at, time.time()


def bare_seconds(made: Stack, job: dict[str, Any], folder: Path) -> float:
    """How long the bare program takes for what the job did."""
    settings = made.settings
    with open_sessions(settings, pool_size=1) as sessions, sessions() as session:
        dataset = datasets.get(session, job["dataset_id"])
    model = folders.find(settings.models.base, settings.model_folders)
    spec = {
        "schema_version": 1,
        "job_id": "bare",
        "attempt": 1,
        "base_model": {"name": model.name, "path": str(model.path)},
        "dataset": {
            "path": str(ArtifactStore(settings).fetch(dataset.key)),
            "digest": dataset.digest,
        },
        "recipe": job["parameters"],
        "resume_from": None,
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(spec))
    command = [sys.executable, "-m", "academy.trainer", str(path), "--out", str(folder / "out")]
    began = time.monotonic()
    subprocess.run(command, check=True, timeout=JOB_SECONDS, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def wait_until_over(made: Stack, job_id: str) -> dict[str, Any]:
    """The job once it has finished."""
    found: dict[str, Any] = {}

    def is_over() -> bool:
        found.update(made.http.get(f"/train/{job_id}/status").json())
        if found["status"] in {"failed", "cancelled"}:
            raise RuntimeError(json.dumps(found["failure"]))
        return bool(found["status"] == "finished")

    wait_for(is_over, f"the end of {job_id}", 300)
    return found


if __name__ == "__main__":
    main()
