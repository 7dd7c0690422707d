"""How long a watcher waits: from POST /train to the first log line, on an idle stack.

Starts `academy up` with the tiny model and, for each round, submits a one-step training while a
websocket watcher connects. Measured from the moment the request is sent: the 202, the first log
line of the worker, and the first message of the trainer process. The trainer's imports are measured
on their own in the same run, because they are the same for every system that starts a process.

Writes ``benchmarks/results/first_line.json``.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import connect

from academy import __version__
from academy.host.processes import end_group, spawn
from academy.trainer.tiny import make_tiny_model

ROUNDS = 12
ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "first_line.json"
API = "/api/v1/academy"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        make_tiny_model(Path(folder) / "models" / "tiny")
        environment = {
            **os.environ,
            "ACADEMY_HOME": str(home),
            "ACADEMY_MODELS": str(Path(folder) / "models"),
            "ACADEMY_BASE_MODEL": "tiny",
            "ACADEMY_REPO_ROOTS": str(ROOT),
        }
        process = spawn(
            [sys.executable, "-m", "academy.cli", "up", "--port", "0", "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            death_signal=signal.SIGTERM,
        )
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            rounds = measure(url, (home / "admin.key").read_text().strip())
        finally:
            end_group(process, 60)
    figures = {name: summary([each[name] for each in rounds]) for name in rounds[0]}
    report = {
        "benchmark": "first_line",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"academy": __version__, "python": platform.python_version()},
        "cpus": os.cpu_count(),
        "rounds": ROUNDS,
        "seconds": figures,
        "trainer_import_seconds": import_seconds(),
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(report, indent=1) + "\n")
    for name, each in figures.items():
        print(f"{name:28} p50 {each['p50']:7.3f} s   worst {each['worst']:7.3f} s")
    print(f"{'trainer imports alone':28} p50 {report['trainer_import_seconds']:7.3f} s")


def measure(url: str, key: str) -> list[dict[str, float]]:
    """The waits of each round, in seconds from the sending of the request."""
    headers = {"Authorization": f"Bearer {key}"}
    found = []
    with httpx.Client(base_url=url + API, headers=headers, timeout=60) as http:
        lessons = (ROOT / "examples" / "lessons.jsonl").read_bytes()
        kind = {"Content-Type": "application/x-ndjson"}
        http.post("/lessons", content=lessons, headers=kind).raise_for_status()
        http.post("/dataset", json={"git_commits_limit": 0}).raise_for_status()
        for _ in range(ROUNDS):
            began = time.monotonic()
            started = http.post("/train", json={"max_steps": 1, "max_eval_rows": 2})
            accepted = time.monotonic() - began
            started.raise_for_status()
            job_id = started.json()["job_id"]
            waits = {"202": accepted, **watch(url, key, job_id, began)}
            found.append(waits)
    return found


def watch(url: str, key: str, job_id: str, began: float) -> dict[str, float]:
    """When the worker's first line and the trainer's first message reached a websocket."""
    address = f"{url.replace('http', 'ws', 1)}{API}/train/{job_id}/logs/ws"
    waits: dict[str, float] = {}
    with connect(address, additional_headers={"Authorization": f"Bearer {key}"}) as socket:
        for frame in socket:
            now = time.monotonic() - began
            for event in json.loads(frame):
                if event["type"] == "log":
                    waits.setdefault("worker's first log line", now)
                if event["type"] == "stage":
                    waits.setdefault("trainer's first message", now)
    return waits


def import_seconds() -> float:
    """The median time of a fresh process that imports what the trainer imports."""
    command = [sys.executable, "-c", "import torch, transformers, peft, academy.trainer.job"]
    times = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run(command, check=True, timeout=120)
        times.append(time.monotonic() - began)
    return statistics.median(times)


def summary(values: list[float]) -> dict[str, Any]:
    return {"p50": statistics.median(values), "worst": max(values), "all": values}


if __name__ == "__main__":
    main()
