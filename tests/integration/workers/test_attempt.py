"""However the work on a job ends, its end is recorded once, and a lost job is left alone."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from academy.errors import BaseModelUnavailable
from academy.jobs.attempt import Attempt, JobFailed, StoppedOnRequest, carry_out
from academy.lifecycle import FailureCode, JobKind, Status
from academy.settings import Settings
from academy.store.engine import Session, Sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim, Failure
from tests import reading

Work = Callable[[Attempt], Callable[[Session], None]]


@pytest.fixture
def claimed(settings: Settings, sessions: Sessions) -> Job:
    job = Job(id=jobs.new_id(JobKind.TRAINING), kind="training", queue="gpu", parameters={})
    with sessions.begin() as session:
        transitions.submit(session, job)
    with sessions.begin() as session:
        found = transitions.claim(session, "gpu", "worker-1", settings.jobs.lease_seconds)
    assert found is not None
    return found


def finish(attempt: Attempt) -> Callable[[Session], None]:
    def record(session: Session) -> None:
        transitions.finish(session, attempt.claim, {"done": True})

    return record


def run(settings: Settings, sessions: Sessions, job: Job, work: Work) -> Status | None:
    return carry_out(settings, sessions, job, threading.Event(), work)


def until_stopped(attempt: Attempt) -> Callable[[Session], None]:
    deadline = threading.Event()
    for _ in range(600):
        attempt.check()
        deadline.wait(0.05)
    raise AssertionError("nobody stopped the work")


def test_a_success_is_recorded_with_its_last_event(
    settings: Settings, sessions: Sessions, claimed: Job
) -> None:
    assert run(settings, sessions, claimed, finish) == Status.FINISHED
    with sessions() as session:
        job = jobs.get(session, claimed.id)
        assert job.result == {"done": True} and job.events_closed_at is not None
    events = reading.said(settings, sessions, claimed.id)
    assert [event.type for event in events] == ["status", "log", "status"]
    assert events[-1].fields["status"] == "finished"


def test_a_move_whose_answer_was_lost_after_the_commit_counts(
    settings: Settings, sessions: Sessions, claimed: Job
) -> None:
    lost: list[str] = []

    def lose_the_answer(session: Session) -> None:
        @event.listens_for(session, "after_commit", once=True)
        def lose(_: Session) -> None:
            if not lost:
                lost.append("the finish")
                raise OperationalError("COMMIT", {}, ConnectionError("reset by peer"))

    def work(attempt: Attempt) -> Callable[[Session], None]:
        attempt.start()
        attempt.start()

        def record(session: Session) -> None:
            lose_the_answer(session)
            transitions.finish(session, attempt.claim, {"done": True})

        return record

    assert run(settings, sessions, claimed, work) == Status.FINISHED
    assert lost == ["the finish"]
    with sessions() as session:
        history = [each.to_status for each in jobs.transitions(session, claimed.id)]
    assert history == ["queued", "preparing", "running", "finished"]


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (BaseModelUnavailable(name="x", looked_in="y"), "base_model_unavailable", "failed"),
        (OSError(errno.ENOSPC, "No space left on device", "/a"), "storage", "queued"),
        (MemoryError(), "out_of_memory", "queued"),
        (JobFailed(Failure(FailureCode.DIVERGED, "NaN", "lower it")), "diverged", "failed"),
        (RuntimeError("a bug"), "internal", "failed"),
    ],
)
def test_a_failure_is_recorded_by_its_code_and_retried_if_that_can_help(
    settings: Settings,
    sessions: Sessions,
    claimed: Job,
    error: Exception,
    code: str,
    status: str,
) -> None:
    def fail(attempt: Attempt) -> Callable[[Session], None]:
        raise error

    assert run(settings, sessions, claimed, fail) == status
    with sessions() as session:
        history = jobs.transitions(session, claimed.id)
        assert history[-1].detail is not None and history[-1].detail["code"] == code
        assert history[-1].detail["next_step"]


def test_a_cancel_is_heard_without_redis(
    settings: Settings, sessions: Sessions, claimed: Job
) -> None:

    with sessions.begin() as session:
        transitions.request_cancel(session, claimed.id)
    blind = settings.changed(redis_url="redis://127.0.0.1:1/0")
    assert run(blind, sessions, claimed, until_stopped) == Status.CANCELLED


def test_a_cancel_requested_before_the_success_was_recorded_wins(
    settings: Settings, sessions: Sessions, claimed: Job
) -> None:
    def cancelled_at_the_end(attempt: Attempt) -> Callable[[Session], None]:
        with sessions.begin() as session:
            transitions.request_cancel(session, claimed.id)
        return finish(attempt)

    assert run(settings, sessions, claimed, cancelled_at_the_end) == Status.CANCELLED


def test_a_pause_and_a_drain_let_go_without_counting_a_crash(
    settings: Settings, sessions: Sessions, claimed: Job
) -> None:
    with sessions.begin() as session:
        transitions.request_pause(session, claimed.id)
    assert run(settings, sessions, claimed, until_stopped) == Status.PAUSED
    with sessions.begin() as session:
        transitions.request_resume(session, claimed.id)
    with sessions.begin() as session:
        again = transitions.claim(session, "gpu", "worker-2", settings.jobs.lease_seconds)
    assert again is not None
    draining = threading.Event()
    draining.set()
    assert carry_out(settings, sessions, again, draining, until_stopped) == Status.QUEUED
    with sessions() as session:
        assert jobs.get(session, claimed.id).crashes == 0


def test_a_job_that_was_taken_away_is_left_alone(
    settings: Settings, sessions: Sessions, claimed: Job
) -> None:
    def lose_it(attempt: Attempt) -> Callable[[Session], None]:
        with sessions.begin() as session:
            claim = Claim(claimed.id, claimed.fence, claimed.attempt, "worker-1")
            transitions.stopped(session, claim)
            transitions.claim(session, "gpu", "worker-2", settings.jobs.lease_seconds)
        return finish(attempt)

    assert run(settings, sessions, claimed, lose_it) is None
    with sessions() as session:
        job = jobs.get(session, claimed.id)
        assert (job.status, job.worker_id) == ("preparing", "worker-2")


def test_a_lost_job_stops_its_work(settings: Settings, sessions: Sessions, claimed: Job) -> None:
    def watch(attempt: Attempt) -> Callable[[Session], None]:
        with sessions.begin() as session:
            transitions.stopped(session, attempt.claim)
        try:
            return until_stopped(attempt)
        except StoppedOnRequest:
            assert attempt.hold.wanted == "lost"
            raise

    assert run(settings, sessions, claimed, watch) is None
