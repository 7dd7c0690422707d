"""A soak: watchers that stay and watchers that come and go, while what they watch is restarted.

Ten minutes in the long form. The clients are those of ``benchmarks/watchers.py``.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from academy.events.sender import EventSender
from academy.lifecycle import JobKind
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from tests.faults.api import Api
from tests.faults.form import Form
from tests.faults.report import Report, Row
from tests.faults.stack import Stack
from tests.waiting import until

SIDES = Path(__file__).resolve().parents[2] / "benchmarks" / "watcher_sides"
STAYING, COMING, JOBS = 60, 40, 4
#: Lines of each job in a second, and how many of them come at once.
RATE, BURST = 40, 400
SHORT_SECONDS, LONG_SECONDS = 25.0, 600.0


def test_watchers_get_every_event_once_whatever_is_restarted(
    stack: Stack, form: Form, report: Report
) -> None:
    seconds = SHORT_SECONDS if form.scale > 1 else LONG_SECONDS
    row = report.row("watched while Valkey, the API or the writer is restarted")
    stack.keeper()
    api = Api(stack)
    job_ids = [_running(stack) for _ in range(JOBS)]
    plan = {
        "host": "127.0.0.1",
        "port": int(api.url.split(":")[2].split("/")[0]),
        "headers": {"Authorization": f"Bearer {(stack.home / 'admin.key').read_text().strip()}"},
        "paths": [f"/api/v1/academy/jobs/{each}/logs/ws" for each in job_ids],
    }
    with (
        _Clients("client.py", {**plan, **_staying(plan, seconds)}) as staying,
        _Clients("churn.py", {**plan, "clients": COMING, "seconds": seconds}) as coming,
    ):
        assert staying.line() == "ready"
        _disturb_while_they_watch(stack, api, row, job_ids, seconds)
        came, stayed = json.loads(coming.line()), json.loads(staying.line())
    row.facts |= {"visits": came["visits"], "events": came["events"] + stayed["delivered"]}
    assert came["events"] > 0
    assert {came.get(each, 0) for each in ("lost", "doubled", "corrupt")} == {0}, came
    assert (stayed["whole"], stayed["truncated"]) == (STAYING, 0), (stayed, stack.logs())
    assert {stayed[each] for each in ("lost", "doubled", "corrupt")} == {0}, stayed
    assert len(stayed["each_got"]) <= JOBS, "all of a job got the same"
    until(lambda: api.watchers() == 0, 30, "everybody is uncounted")


def _disturb_while_they_watch(
    stack: Stack, api: Api, row: Row, job_ids: list[str], seconds: float
) -> None:
    over = threading.Event()
    writers = [threading.Thread(target=_write, args=(stack, each, over)) for each in job_ids]
    for each in writers:
        each.start()
    try:
        _disturb(stack, api, row.add, time.monotonic() + seconds)
    finally:
        over.set()
        for each in writers:
            each.join(timeout=60)


def _running(stack: Stack) -> str:
    """A job that is held by nobody who does anything."""
    job = Job(id=jobs.new_id(JobKind.TRAINING), kind="training", queue="gpu", parameters={})
    with stack.sessions.begin() as session:
        transitions.submit(session, job)
    with stack.sessions.begin() as session:
        assert transitions.claim(session, "gpu", "the soak", 36_000.0) is not None
    return job.id


def _staying(plan: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What `client.py` is told beside where to connect."""
    paths = plan["paths"]
    return {
        "paths": paths * (STAYING // len(paths)),
        "events": dict.fromkeys(paths, 0),
        "steady": 0,
        "resume": True,
        "compressed": True,
        "seconds": seconds + 120,
    }


def _write(stack: Stack, job_id: str, over: threading.Event) -> None:
    """Attempts at the job, of which each says lines and then, but for the last, just ends."""
    attempt = 0
    while not over.is_set():
        attempt += 1
        with (
            EventSender(stack.settings, stack.sessions) as sender,
            sender.open(job_id, attempt) as events,
        ):
            events.emit("status", status="preparing", attempt=attempt)
            until_at = time.monotonic() + random.uniform(4, 12)
            while not over.wait(1 / RATE) and time.monotonic() < until_at:
                lines = BURST if random.random() < 0.02 else 1
                for _ in range(lines):
                    events.emit("log", message=f"{time.time():.6f} a line of the soak")
            if over.is_set():
                events.emit("status", status="finished")


def _disturb(stack: Stack, api: Api, count: Callable[[], None], until_at: float) -> None:
    """Restart one after the other, in an order that differs from run to run."""

    def valkey() -> None:
        stack.valkey.stop()
        stack.valkey.start()

    def gently() -> None:
        api.program.stop()
        api.program.start()
        api.wait()

    def killed() -> None:
        api.program.kill()
        api.program.start()
        api.wait()

    pause = threading.Event()
    while time.monotonic() < until_at:
        for each in random.sample([valkey, gently, killed], 3):
            pause.wait(min(3.0, max(0.0, until_at - time.monotonic())))
            if time.monotonic() >= until_at:
                return
            each()
            count()


class _Clients:
    """A process of clients, which prints lines of JSON."""

    def __init__(self, script: str, plan: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SIDES / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SIDES.parents[1])},
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(plan) + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> _Clients:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def line(self) -> str:
        """What it says next."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
