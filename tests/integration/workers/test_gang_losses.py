"""What the leader of a training on several hosts makes of the loss of one of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest

from academy.jobs.attempt import Attempt, JobFailed, carry_out
from academy.lifecycle import FailureCode, JobKind, MemberStatus, Reason, Status
from academy.settings import Settings
from academy.store.engine import Session, Sessions, open_sessions
from academy.store.jobs import gangs, jobs, transitions, workers
from academy.store.jobs.slots import Offer
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim
from academy.training.gang import Gang

MEMBERS = ("one", "two")


@pytest.fixture
def led(settings: Settings, sessions: Sessions) -> Job:
    """A claimed training on three hosts; the workers "one" and "two" were given their parts."""
    job = Job(
        id=jobs.new_id(JobKind.TRAINING), kind="training", queue="gpu", parameters={"hosts": 3}
    )
    with sessions.begin() as session:
        for worker in ("leader", *MEMBERS):
            facts = {"queue": "gpu", "host": worker, "pid": 1, "versions": {}, "gpus": []}
            workers.seen(session, worker, **facts)
        transitions.submit(session, job)
    with sessions.begin() as session:
        found = transitions.claim(session, "gpu", "leader", 60, Offer("leader"))
    assert found is not None
    return found


@pytest.fixture
def unreachable(settings: Settings) -> Iterator[Sessions]:
    """A database at which nobody answers."""
    url = "postgresql://academy@127.0.0.1:1/academy"
    with open_sessions(settings.changed(database_url=url)) as made:
        yield made


def part(job: Job, worker: str) -> Claim:
    return Claim(job.id, job.fence, job.attempt, worker)


def fail(sessions: Sessions, job: Job, worker: str, code: FailureCode) -> None:
    told = {"code": code, "message": f"{worker} says so.", "next_step": "Look there."}
    with sessions.begin() as session:
        gangs.end(session, part(job, worker), MemberStatus.FAILED, told)


def run(
    settings: Settings, sessions: Sessions, job: Job, work: Callable[[Attempt], None]
) -> Status | None:
    def until_it_raises(attempt: Attempt) -> Callable[[Session], None]:
        work(attempt)
        raise AssertionError("nothing was raised")

    return carry_out(settings, sessions, job, threading.Event(), until_it_raises)


def test_the_member_that_knows_the_cause_is_heard_before_one_that_only_lost_it(
    settings: Settings, sessions: Sessions, led: Job
) -> None:
    def lose(attempt: Attempt) -> None:
        fail(sessions, led, "one", FailureCode.WORKER_LOST)
        cause = threading.Timer(0.5, fail, (sessions, led, "two", FailureCode.DIVERGED))
        cause.start()
        try:
            assert Gang(attempt).wanted is None
        finally:
            cause.join(30)

    assert run(settings, sessions, led, lose) == Status.FAILED
    with sessions() as session:
        job = jobs.get(session, led.id)
    assert job.failure_code == "diverged"
    assert job.failure_message == "On the host two: two says so."


@pytest.mark.parametrize("had_begun", [True, False])
def test_a_member_that_never_began_costs_no_crash_and_the_job_waits(
    settings: Settings, sessions: Sessions, led: Job, had_begun: bool
) -> None:
    settings = settings.changed(retry_seconds=600.0)

    def lose(attempt: Attempt) -> None:
        gang = Gang(attempt)
        if had_begun:
            with sessions.begin() as session:
                gangs.take_up(session, part(led, "two"))
        assert gang.wanted is None
        with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
            connection.execute(
                "UPDATE gang_members SET lease_expires_at = clock_timestamp()"
                " WHERE worker_id = 'two'"
            )
        with sessions.begin() as session:
            assert gangs.reap(session) == 1
        gang.wait_until_ready()

    assert run(settings, sessions, led, lose) == Status.QUEUED
    with sessions() as session:
        job = jobs.get(session, led.id)
        last = jobs.transitions(session, led.id)[-1]
    assert job.crashes == (1 if had_begun else 0)
    assert last.reason == (Reason.RETRY if had_begun else Reason.DRAINED)
    assert last.detail is not None and last.detail["code"] == "worker_lost"
    assert "was not heard of in time" in last.detail["message"]
    assert 400 < (job.not_before - last.at).total_seconds() < 800


def test_a_cancel_ends_a_job_whose_gang_did_not_begin(
    settings: Settings, sessions: Sessions, led: Job
) -> None:
    def lose(attempt: Attempt) -> None:
        with sessions.begin() as session:
            transitions.request_cancel(session, led.id)
        with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
            connection.execute("DELETE FROM gang_members")
        assert Gang(attempt).wanted is None

    assert run(settings, sessions, led, lose) == Status.CANCELLED


def test_while_postgres_is_away_the_leader_looks_once_in_a_heart_beat(
    settings: Settings,
    sessions: Sessions,
    led: Job,
    unreachable: Sessions,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def look(attempt: Attempt) -> None:
        gang = Gang(replace(attempt, sessions=unreachable))
        until = time.monotonic() + 1.5  # while it answers, it is asked ten times in a heart-beat
        while time.monotonic() < until:
            assert gang.wanted is None
        fail(sessions, led, "one", FailureCode.BAD_SPEC)
        with pytest.raises(JobFailed) as failed:
            assert Gang(attempt).wanted is None
        raise failed.value

    settings = settings.changed(heartbeat_seconds=10.0, lease_seconds=60.0)
    assert run(settings, sessions, led, look) == Status.FAILED
    assert [each.message for each in caplog.records].count(
        "the other hosts cannot be seen now: OperationalError"
    ) == 1
