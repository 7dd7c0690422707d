"""A curation of a million lessons from PostgreSQL, as a worker does it, and how soon it stops.

    python benchmarks/lessons.py [--lessons 1000000]

The lessons lie in an embedded PostgreSQL. The worker's own code claims the job, reads them through
its keyset cursor, filters, removes duplicates and secrets, splits, writes and publishes. Its memory
is that of a process of its own. Then further curations are cancelled at different moments; what
counts is the time from the cancel to the terminal status, and that no dataset is left.

Results go to benchmarks/results/lessons.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from academy import __version__
from academy.artifacts.store import ArtifactStore
from academy.embedded.postgres import EmbeddedPostgres
from academy.embedded.valkey import EmbeddedValkey
from academy.errors import Conflict
from academy.jobs.attempt import carry_out
from academy.lifecycle import TERMINAL, JobKind
from academy.ops import garbage
from academy.settings import Settings
from academy.store import migrate
from academy.store.engine import Sessions, close_sessions, make_sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job

RESULTS = Path(__file__).parent / "results" / "lessons.json"
#: Lessons of the curations that are cancelled, and the shares of their time at which they are.
CANCELLED_LESSONS = 100_000
CANCELLED_AT = (0.1, 0.4, 0.7, 0.9)
#: Random words, so that the lessons are no duplicates of each other.
FILL = """
INSERT INTO lessons (id, situation, solution, tags, source, created_at)
SELECT 'lesson' || n, words(15), words(30), '["bench"]', 'bench',
       timestamptz '2025-01-01' + n * interval '1 second'
FROM generate_series(1, %s) AS n
"""
WORDS = """
CREATE FUNCTION words(count int) RETURNS text LANGUAGE sql VOLATILE AS
$$ SELECT string_agg('word' || floor(random() * 20000)::int, ' ') FROM generate_series(1, count) $$
"""


def main() -> None:
    """Fill the database, curate, cancel, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lessons", type=int, default=1_000_000)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(work(read_settings(options.child))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        postgres, valkey = EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey")
        try:
            settings = Settings().changed(
                home=folder / "home",
                database_url=postgres.start(),
                redis_url=valkey.start(),
                log_level="WARNING",
            )
            result = measure(settings, options.lessons)
        finally:
            valkey.stop()
            postgres.stop()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def measure(settings: Settings, lessons: int) -> dict[str, Any]:
    """One whole curation, then those that are cancelled."""
    migrate.upgrade(settings.postgres.url)
    with psycopg.connect(settings.postgres.url, autocommit=True) as connection:
        connection.execute("SELECT setseed(0.5)")
        connection.execute(WORDS)
        connection.execute(FILL, (lessons,))
        connection.execute("VACUUM ANALYZE lessons")
    sessions = make_sessions(settings, pool_size=2)
    whole = curate(settings, sessions, lessons, None)
    if whole["status"] != "finished":
        raise RuntimeError(str(whole))
    fewer = min(lessons, CANCELLED_LESSONS) - 1
    seconds = curate(settings, sessions, fewer, None)["seconds"]
    cancels: list[dict[str, Any]] = []
    for number, share in enumerate(CANCELLED_AT, 1):
        moment = share * seconds
        # One lesson fewer makes another dataset; the same one would be there already.
        ended = curate(settings, sessions, fewer - number, moment)
        cancels.append(
            {"after_seconds": round(moment, 1), "stopped_in_seconds": ended["stopped_in_seconds"]}
        )
        expected = 2 + sum(each["stopped_in_seconds"] is None for each in cancels)
        if datasets(settings, sessions) != expected:
            raise RuntimeError(f"cancelled at {share:.0%}: {ended}")
    close_sessions(sessions)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"academy": __version__, "python": platform.python_version()},
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "lessons": lessons,
        "kept": whole["kept"],
        "seconds": round(whole["seconds"], 1),
        "rows_per_second": round(lessons / whole["seconds"]),
        "peak_mib": whole["peak_mib"],
        "cancels": cancels,
    }


def curate(
    settings: Settings, sessions: Sessions, lessons: int, cancel_after: float | None
) -> dict[str, Any]:
    """A curation in a worker process of its own; how it ended."""
    request = {"lessons_limit": lessons, "git_commits_limit": 0}
    job_id = jobs.new_id(JobKind.CURATION)
    with sessions.begin() as session:
        transitions.submit(
            session, Job(id=job_id, kind=JobKind.CURATION, queue="curation", parameters=request)
        )
    file = settings.home.parent / "settings.json"
    file.write_text(json.dumps(settings.environ()))
    began = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, __file__, f"--child={file}"], stdout=subprocess.PIPE, text=True
    )
    try:
        stopped = None
        if cancel_after is not None:
            time.sleep(cancel_after)
            stopped = cancel(sessions, job_id)
        said, _ = child.communicate(timeout=3600)
    finally:
        child.kill()
    return {
        **json.loads(said),
        "stopped_in_seconds": stopped,
        "wall_seconds": time.monotonic() - began,
    }


def cancel(sessions: Sessions, job_id: str) -> float | None:
    """Seconds from the cancel to the terminal status; None if the job was over before."""
    began = time.monotonic()
    try:
        with sessions.begin() as session:
            transitions.request_cancel(session, job_id)
    except Conflict:
        return None
    while time.monotonic() - began < 120:
        with sessions() as session:
            if jobs.get(session, job_id).status in TERMINAL:
                return round(time.monotonic() - began, 2)
        time.sleep(0.02)
    raise TimeoutError(f"{job_id} did not stop in 120 s")


def work(settings: Settings) -> dict[str, Any]:
    """What a worker does with the one job that waits, in this process."""
    from academy.curation.supervisor import curate_job

    sessions = make_sessions(settings, pool_size=4)
    with sessions.begin() as session:
        job = transitions.claim(session, "curation", "bench", settings.jobs.lease_seconds)
    if job is None:
        raise RuntimeError("nothing to claim")
    began = time.monotonic()
    status = carry_out(settings, sessions, job, threading.Event(), curate_job)
    seconds = time.monotonic() - began
    with sessions() as session:
        result = jobs.get(session, job.id).result or {}
    close_sessions(sessions)
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    return {
        "status": status,
        "seconds": seconds,
        "kept": result.get("statistics", {}).get("total_examples"),
        "peak_mib": round(int(peak) / 1024, 1),
    }


def read_settings(path: str) -> Settings:
    """The settings that `curate` wrote."""
    return Settings.from_env(json.loads(Path(path).read_text()))


def datasets(settings: Settings, sessions: Sessions) -> int:
    """How many datasets there are, in the database and, once the keeper has tidied up, the store.

    A cancel may come when the folder is published and the row is not written yet.
    """
    garbage.collect(ArtifactStore(settings), sessions, grace_seconds=0.0)
    with psycopg.connect(settings.postgres.url) as connection:
        row = connection.execute("SELECT count(*) FROM datasets").fetchone()
    found = len(list((settings.home / "artifacts" / "datasets").iterdir()))
    assert row is not None
    if row[0] != found:
        raise RuntimeError(f"{row[0]} rows, but {found} folders")
    return found


if __name__ == "__main__":
    main()
