"""Webhooks to a server that fails half of the time, with the keeper killed in the middle.

    python benchmarks/webhooks.py [--jobs 2500]

Each job goes through its four statuses, so there are four times as many events. A keeper delivers
them to a receiver, a process of its own, that answers every other request with 500, by chance. When
half of them have arrived the keeper is killed (SIGKILL) and another one started. Then each has
to have arrived at least once, those of a job in their order, and none may have been sent before the
one before it had arrived.

Results go to benchmarks/results/webhooks.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from academy import __version__
from academy.embedded.postgres import EmbeddedPostgres
from academy.embedded.program import free_port
from academy.embedded.valkey import EmbeddedValkey
from academy.host.processes import end_group, spawn
from academy.lifecycle import JobKind
from academy.settings import Settings
from academy.store import migrate
from academy.store.engine import Sessions, open_sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim
from academy.webhooks import keeping
from academy.webhooks.request import WebhookRequest

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "webhooks.json"
RECEIVER = ROOT / "benchmarks" / "webhook_sides" / "receiver.py"
#: Half of what is tried fails, so some fail eight times; a longer first back-off would only wait.
RETRY_SECONDS = 0.02
LONGEST_SECONDS = 1800.0


def main() -> None:
    """Measure, check, print, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2500)
    count = parser.parse_args().jobs
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        postgres = EmbeddedPostgres(folder / "postgres")
        url = postgres.start()
        stack.callback(postgres.stop)
        valkey = EmbeddedValkey(folder / "valkey")
        redis_url = valkey.start()
        stack.callback(valkey.stop)
        migrate.upgrade(url)
        settings = Settings().changed(
            home=folder / "home",
            database_url=url,
            redis_url=redis_url,
            webhook_private=True,
            webhook_retry_seconds=RETRY_SECONDS,
        )
        result = _measure(settings, folder, count)
    result |= {
        "version": __version__,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    for key, value in result.items():
        print(f"{key:32} {value}")
    broken = [name for name in ("lost", "out_of_order", "too_early") if result[name]]
    if broken:
        sys.exit(f"not as promised: {', '.join(broken)}")


def _measure(settings: Settings, folder: Path, count: int) -> dict[str, Any]:
    port, file = free_port(), folder / "received.jsonl"
    env = {**os.environ, **settings.environ(), "PYTHONPATH": str(ROOT)}
    with ExitStack() as stack:
        sessions = stack.enter_context(open_sessions(settings))
        database = stack.enter_context(psycopg.connect(settings.postgres.url, autocommit=True))
        receiver = spawn([sys.executable, str(RECEIVER), str(port), str(file)])
        stack.callback(end_group, receiver, grace_seconds=5)
        wanted = WebhookRequest(url=f"http://127.0.0.1:{port}/")
        with sessions.begin() as session:
            keeping.create(session, wanted, "benchmark")
        began = time.monotonic()
        for _ in range(count):
            _carry_out(sessions)
        wrote = time.monotonic() - began
        began = time.monotonic()
        with (folder / "keeper.log").open("ab") as log:

            def keeper() -> subprocess.Popen[bytes]:
                made = spawn([sys.executable, "-m", "workers.keeper"], env=env, stderr=log)
                stack.callback(end_group, made, grace_seconds=20)
                return made

            first = keeper()
            half = 4 * count // 2
            _until(lambda: _delivered(database) >= half, "half of it arrives", folder)
            first.send_signal(signal.SIGKILL)
            first.wait()
            killed_after = time.monotonic() - began
            claimed = _count(database, "claimed_until > now() AND state = 'pending'")
            keeper()
            # What the killed one had claimed is tried again half a minute after it was.
            _until(
                lambda: _count(database, "state <> 'pending'") >= 4 * count,
                "all is settled",
                folder,
            )
            took = time.monotonic() - began
        in_order = database.execute(
            "SELECT xid || '-' || id, subject FROM changes WHERE type LIKE 'job.%' ORDER BY xid, id"
        ).fetchall()
        given_up = _count(database, "state = 'given_up'")
    requests = [json.loads(line) for line in file.read_text().splitlines()]
    return {
        "events": len(in_order),
        "jobs": count,
        **_verdict(in_order, requests),
        "given_up": given_up,
        "claimed_by_the_killed_keeper": claimed,
        "killed_after_seconds": round(killed_after, 1),
        "seconds": round(took, 1),
        "requests_per_second": round(len(requests) / took, 1),
        "deliveries_per_second_until_killed": round(half / killed_after, 1),
        "seconds_to_write_the_jobs": round(wrote, 1),
        "retry_seconds": RETRY_SECONDS,
    }


def _verdict(in_order: list[Any], requests: list[list[Any]]) -> dict[str, int]:
    """What arrived how often, and whether anything came before its time."""
    expected: dict[str, list[str]] = defaultdict(list)
    for event, subject in in_order:
        expected[subject].append(event)
    arrived: dict[str, list[str]] = defaultdict(list)
    accepted = too_early = 0
    for event, subject, status, _ in requests:
        before = expected[subject][: expected[subject].index(event)]
        too_early += any(each not in arrived[subject] for each in before)
        if status == 204:
            accepted += 1
            if event not in arrived[subject]:
                arrived[subject].append(event)
    return {
        "requests": len(requests),
        "refused": len(requests) - accepted,
        "arrived": sum(map(len, arrived.values())),
        "arrived_again": accepted - sum(map(len, arrived.values())),
        "lost": sum(len(set(expected[each]) - set(arrived[each])) for each in expected),
        "out_of_order": sum(arrived[each] != expected[each] for each in expected),
        "too_early": too_early,
    }


def _carry_out(sessions: Sessions) -> None:
    """A training through its four statuses, each a transaction of its own."""
    job = Job(id=jobs.new_id(JobKind.TRAINING), kind="training", queue="gpu", parameters={})
    with sessions.begin() as session:
        transitions.submit(session, job)
    with sessions.begin() as session:
        taken = transitions.claim(session, "gpu", "w", 600)
    if taken is None:
        raise RuntimeError("the job was not there to be claimed")
    held = Claim(taken.id, taken.fence, taken.attempt, "w")
    with sessions.begin() as session:
        transitions.start(session, held)
    with sessions.begin() as session:
        transitions.finish(session, held, {"adapter_id": taken.id})


def _delivered(database: psycopg.Connection[Any]) -> int:
    return _count(database, "state = 'delivered'")


def _count(database: psycopg.Connection[Any], condition: str) -> int:
    query = f"SELECT count(*) FROM webhook_deliveries WHERE {condition}"
    row = database.execute(query).fetchone()  # type: ignore[arg-type]  # our own text
    # Before the fan-out there is none of any state.
    return int(row[0]) if row else 0


def _until(condition: Any, what: str, folder: Path) -> None:
    until = time.monotonic() + LONGEST_SECONDS
    while not condition():
        if time.monotonic() > until:
            log = (folder / "keeper.log").read_text()[-3000:]
            raise RuntimeError(f"not in time: {what}\n{log}")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
