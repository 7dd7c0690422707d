"""Keepers as processes: one is killed in the middle, one is cut off from the database."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from academy.host.processes import end_group
from academy.lifecycle import JobKind
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from tests.waiting import until
from tests.warm.python import WarmPython

Keeper = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def keeper(settings: Settings, tmp_path: Path, warm_workers: WarmPython) -> Iterator[Keeper]:
    """Starts a keeper."""
    started: list[subprocess.Popen[bytes]] = []
    log = (tmp_path / "keeper.log").open("ab")

    def start() -> subprocess.Popen[bytes]:
        env = {**os.environ, **settings.environ()}
        made = warm_workers.start("workers.keeper", env=env, stdout=log, stderr=log)
        started.append(made)
        return made

    yield start
    for process in started:
        end_group(process, grace_seconds=20)
    log.close()
    assert "Traceback" not in (tmp_path / "keeper.log").read_text()


@pytest.fixture
def database(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(settings.postgres.url, autocommit=True, connect_timeout=10) as made:
        yield made


def cancelled(sessions: Sessions) -> str:
    job = Job(id=jobs.new_id(JobKind.TRAINING), kind="training", queue="gpu", parameters={})
    with sessions.begin() as session:
        transitions.submit(session, job)
    with sessions.begin() as session:
        transitions.request_cancel(session, job.id)
    return job.id


def test_a_killed_keeper_loses_nothing_and_a_jobs_events_stay_in_order(
    sessions: Sessions,
    receiver,
    hook,
    settled,
    keeper: Keeper,
    database: psycopg.Connection[Any],
) -> None:
    there = receiver()
    failing = {"next": False}

    def answers(got: Any) -> int:
        failing["next"] = not failing["next"]
        return 500 if failing["next"] else 204

    there.answers = answers
    webhook = hook(there.url)
    job_ids = [cancelled(sessions) for _ in range(60)]
    killed = keeper()
    until(lambda: len(there.got) >= 60, 60, "some of it is sent")
    killed.send_signal(signal.SIGKILL)
    killed.wait(20)
    # The time that its claims hold is not waited for here.
    database.execute(
        "UPDATE webhook_deliveries SET claimed_until = now() WHERE claimed_until IS NOT NULL"
    )
    other = keeper()
    rows = settled(webhook, 120)
    assert {row.state for row in rows} == {"delivered"}
    first_seen: dict[str, list[str]] = {}
    for each in there.got:
        types = first_seen.setdefault(each.body["data"]["id"], [])
        if each.body["type"] not in types:
            types.append(each.body["type"])
    assert sorted(first_seen) == sorted(job_ids)
    assert {tuple(each) for each in first_seen.values()} == {
        ("job.queued", "fine_tuning.job.cancelled")
    }
    other.send_signal(signal.SIGTERM)
    assert other.wait(20) == 0


def test_a_keeper_that_is_cut_off_from_the_database_goes_on_when_it_is_back(
    sessions: Sessions,
    receiver,
    hook,
    settled,
    keeper: Keeper,
    database: psycopg.Connection[Any],
) -> None:
    there = receiver()
    webhook = hook(there.url)
    cancelled(sessions)
    keeper()
    settled(webhook, 2)
    database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    sessions.kw["bind"].dispose()  # this test's own were among them
    cancelled(sessions)
    settled(webhook, 4)
    assert len({each.headers["webhook-id"] for each in there.got}) == 4
