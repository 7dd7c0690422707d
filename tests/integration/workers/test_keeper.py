"""The keeper makes every promise come true in the end, however many keepers run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis

from academy.events import replay, stream
from academy.lifecycle import JobKind
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions, workers
from academy.store.jobs.tables import Job
from workers.keeper import Keeper


@pytest.fixture
def keeper(settings: Settings, sessions: Sessions) -> Keeper:
    return Keeper(settings, sessions)


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    made = stream.connect(settings)
    yield made
    made.close()


@pytest.fixture
def submit(sessions: Sessions) -> Callable[[], str]:
    def submit() -> str:
        job = Job(id=jobs.new_id(JobKind.TRAINING), kind="training", queue="gpu", parameters={})
        with sessions.begin() as session:
            transitions.submit(session, job)
        return job.id

    return submit


def hinted(client: redis.Redis) -> int:
    waiting: Any = client.llen("gpu")
    return int(waiting)


def eventually(condition: Callable[[], bool]) -> None:
    waiting = threading.Event()
    for _ in range(200):
        if condition():
            return
        waiting.wait(0.05)
    raise AssertionError("the condition did not come true in 10 s")


def test_a_hint_that_no_api_published_is_published_once(keeper, client, submit) -> None:
    submit()
    keeper.sweep()
    keeper.publish_hints()
    assert hinted(client) == 1


def test_the_hint_of_a_job_in_its_back_off_is_published_when_it_can_be_claimed(
    keeper, sessions: Sessions, client, submit
) -> None:
    submit()
    keeper.publish_hints()
    client.flushall()
    with sessions.begin() as session:
        transitions.claim(session, "gpu", "w", 0.0)
    with sessions.begin() as session:
        assert transitions.reap(session, max_crashes=3, retry_seconds=0.5) == 1
    assert keeper.publish_hints() == 0
    eventually(lambda: keeper.publish_hints() == 1)
    assert hinted(client) == 1
    with sessions.begin() as session:
        assert transitions.claim(session, "gpu", "w", 60.0) is not None


def test_a_lost_hint_is_repeated_and_a_waiting_one_is_not(keeper, client, submit) -> None:
    submit()
    keeper.publish_hints()
    client.flushall()
    eventually(lambda: keeper.repeat_lost_hints() == 1)
    assert hinted(client) == 1
    assert keeper.repeat_lost_hints() == 0


def test_a_burst_leaves_no_more_hints_than_workers_need(
    keeper, client, submit, sessions: Sessions
) -> None:
    with sessions.begin() as session:
        for number in range(12):
            workers.seen(session, f"w{number}", queue="gpu", host="h", pid=1, versions={}, gpus=[])
    for _ in range(30):
        submit()
    assert keeper.publish_hints() == 30
    assert hinted(client) == 12
    client.rpop("gpu")
    submit()
    keeper.publish_hints()
    assert hinted(client) == 12
    eventually(lambda: keeper.repeat_lost_hints() == 0)


def test_nothing_is_reaped_until_postgres_has_answered_for_two_heart_beats(
    keeper, sessions: Sessions, submit
) -> None:
    job_id = submit()
    with sessions.begin() as session:
        transitions.claim(session, "gpu", "w", 0.0)
    assert keeper.reap() == 0
    eventually(lambda: keeper.reap() == 1)
    with sessions() as session:
        assert jobs.get(session, job_id).status == "queued"


def test_two_keepers_reap_a_lost_job_once(
    keeper, settings: Settings, sessions: Sessions, submit
) -> None:
    other = Keeper(settings, sessions)
    job_id = submit()
    with sessions.begin() as session:
        transitions.claim(session, "gpu", "w", 0.0)
    reaped = []
    eventually(lambda: reaped.extend([keeper.reap(), other.reap()]) or sum(reaped) > 0)
    assert sum(reaped) == 1
    with sessions() as session:
        assert len(jobs.transitions(session, job_id)) == 3


def test_the_events_of_a_job_that_nobody_closed_get_their_end(
    keeper, settings: Settings, sessions: Sessions, client, submit
) -> None:
    job_id = submit()
    with sessions.begin() as session:
        transitions.request_cancel(session, job_id)
    eventually(lambda: keeper.close_events() == 1)
    events = replay.read_all(sessions, client, job_id)
    assert [event.fields["status"] for event in events] == ["cancelled"]


def test_an_archived_stream_is_dropped_after_its_grace(
    keeper, settings: Settings, sessions: Sessions, client, submit
) -> None:
    job_id = submit()
    with sessions.begin() as session:
        transitions.request_cancel(session, job_id)
    eventually(lambda: keeper.close_events() == 1)
    assert keeper.drop_old_streams() == 0
    impatient = Keeper(replace(settings, stream_grace_seconds=0.0), sessions)
    assert impatient.drop_old_streams() == 1
    assert replay.read_all(sessions, client, job_id)[-1].is_last


def test_a_sweep_survives_redis_being_away(settings: Settings, sessions: Sessions, submit) -> None:
    submit()
    Keeper(replace(settings, redis_url="redis://127.0.0.1:1/0"), sessions).sweep()


def test_a_damaged_event_of_one_job_does_not_keep_the_others_from_being_reaped(
    keeper, sessions: Sessions, client, submit
) -> None:
    damaged, lost = submit(), submit()
    with sessions.begin() as session:
        transitions.request_cancel(session, damaged)
    client.xadd(stream.key_of(damaged), {"e": "no JSON"}, id="1-1")
    with sessions.begin() as session:
        transitions.claim(session, "gpu", "w", 0.0)

    def is_queued_again() -> bool:
        keeper.sweep()
        with sessions() as session:
            return jobs.get(session, lost).status == "queued"

    eventually(is_queued_again)
