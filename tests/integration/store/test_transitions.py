"""Every job reaches one terminal state, whoever writes how often and how late."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from academy.errors import Conflict, NotFound, StaleFence
from academy.lifecycle import FailureCode, Status
from academy.store.engine import Sessions
from academy.store.jobs import hints, jobs, leases, transitions
from academy.store.jobs.transitions import Claim, Failure

OUT_OF_MEMORY = Failure(FailureCode.OUT_OF_MEMORY, "no memory", "use less")
BAD_SPEC = Failure(FailureCode.BAD_SPEC, "bad", "correct it")


def claim(sessions: Sessions, worker: str = "w1", lease: float = 60) -> Claim | None:
    with sessions.begin() as session:
        job = transitions.claim(session, "gpu", worker, lease)
        return Claim(job.id, job.fence, job.attempt, worker) if job else None


def status(sessions: Sessions, job_id: str) -> str:
    with sessions() as session:
        return jobs.get(session, job_id).status


def history(sessions: Sessions, job_id: str) -> list[str]:
    with sessions() as session:
        return [f"{each.to_status}:{each.reason}" for each in jobs.transitions(session, job_id)]


def fail(sessions: Sessions, held: Claim, failure: Failure) -> Status:
    with sessions.begin() as session:
        return transitions.fail_or_retry(session, held, failure, max_crashes=3, retry_seconds=0)


def test_a_job_goes_from_submission_to_its_result(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    job_id = submit()
    held = claim(sessions)
    assert held is not None and held.job_id == job_id and held.fence == 1
    with sessions.begin() as session:
        transitions.start(session, held)
        transitions.finish(session, held, {"answer": 42})
    assert history(sessions, job_id) == [
        "queued:submitted",
        "preparing:claimed",
        "running:started",
        "finished:completed",
    ]
    with sessions() as session:
        job = jobs.get(session, job_id)
        assert job.result == {"answer": 42}
        assert job.finished_at is not None and job.lease_expires_at is None


def test_the_highest_priority_is_claimed_first_then_the_oldest(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    late, early, urgent = submit(), submit(), submit(priority=5)
    order = [claim(sessions), claim(sessions), claim(sessions)]
    assert [held.job_id for held in order if held] == [urgent, late, early]
    assert claim(sessions) is None


def test_many_workers_claim_each_job_once(sessions: Sessions, submit: Callable[..., str]) -> None:
    ids = {submit() for _ in range(20)}
    with ThreadPoolExecutor(8) as pool:
        claims = [held for held in pool.map(lambda n: claim(sessions, f"w{n}"), range(40)) if held]
    assert sorted(held.job_id for held in claims) == sorted(ids)


def test_a_stale_owner_can_write_nothing(sessions: Sessions, submit: Callable[..., str]) -> None:
    submit()
    old = claim(sessions, "old", lease=0.0)
    assert old is not None
    with sessions.begin() as session:
        assert transitions.reap(session, max_crashes=3, retry_seconds=0) == 1
    new = claim(sessions, "new")
    assert new is not None and new.fence == old.fence + 1
    writes = [
        lambda session: transitions.start(session, old),
        lambda session: transitions.finish(session, old, {}),
        lambda session: transitions.stopped(session, old),
        lambda session: leases.renew(session, old, 60),
        lambda session: leases.record_checkpoint(session, old, {}),
        lambda session: transitions.fail_or_retry(
            session, old, BAD_SPEC, max_crashes=3, retry_seconds=0
        ),
    ]
    for write in writes:
        with pytest.raises(StaleFence), sessions.begin() as session:
            write(session)
    assert status(sessions, new.job_id) == Status.PREPARING


def test_an_infrastructure_failure_is_retried_until_it_crashed_too_often(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    job_id = submit()
    outcomes = []
    for _ in range(3):
        held = claim(sessions)
        assert held is not None
        outcomes.append(fail(sessions, held, OUT_OF_MEMORY))
    assert outcomes == [Status.QUEUED, Status.QUEUED, Status.FAILED]
    with sessions() as session:
        assert jobs.get(session, job_id).failure_code == FailureCode.OUT_OF_MEMORY


def test_a_checkpoint_forgives_the_crashes_before_it(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    submit()
    for _ in range(4):
        held = claim(sessions)
        assert held is not None
        with sessions.begin() as session:
            leases.record_checkpoint(session, held, {"step": 1})
        assert fail(sessions, held, OUT_OF_MEMORY) == Status.QUEUED


def test_a_users_error_fails_at_once(sessions: Sessions, submit: Callable[..., str]) -> None:
    job_id = submit()
    held = claim(sessions)
    assert held is not None
    assert fail(sessions, held, BAD_SPEC) == Status.FAILED
    assert history(sessions, job_id)[-1] == "failed:error"


def test_a_queued_job_is_cancelled_at_once_and_a_held_one_through_its_owner(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    first, second = submit(priority=1), submit()
    held = claim(sessions)
    assert held is not None and held.job_id == first
    with sessions.begin() as session:
        assert transitions.request_cancel(session, second).status == Status.CANCELLED
        assert transitions.request_cancel(session, first).status == Status.CANCELLING
    with sessions.begin() as session:
        assert leases.renew(session, held, 60) == Status.CANCELLING
    with pytest.raises(StaleFence), sessions.begin() as session:
        transitions.finish(session, held, {})
    with sessions.begin() as session:
        assert transitions.stopped(session, held) == Status.CANCELLED
    with pytest.raises(Conflict, match="already cancelled"), sessions.begin() as session:
        transitions.request_cancel(session, first)


def test_a_cancel_whose_worker_is_gone_is_ended_by_the_keeper(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    job_id = submit()
    claim(sessions, lease=0.0)
    with sessions.begin() as session:
        transitions.request_cancel(session, job_id)
    with sessions.begin() as session:
        transitions.reap(session, max_crashes=3, retry_seconds=0)
    assert history(sessions, job_id)[-1] == "cancelled:cancel_orphaned"


def test_a_pause_lets_go_and_a_resume_goes_on(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    job_id = submit()
    held = claim(sessions)
    assert held is not None
    with sessions.begin() as session:
        transitions.request_pause(session, job_id)
    with sessions.begin() as session:
        assert transitions.stopped(session, held) == Status.PAUSED
    with sessions.begin() as session:
        assert transitions.request_resume(session, job_id).status == Status.QUEUED
    again = claim(sessions)
    assert again is not None and again.attempt == 2


def test_a_drain_requeues_without_counting_a_crash(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    job_id = submit()
    held = claim(sessions)
    assert held is not None
    with sessions.begin() as session:
        assert transitions.stopped(session, held) == Status.QUEUED
    with sessions() as session:
        assert jobs.get(session, job_id).crashes == 0


def test_the_database_itself_refuses_to_leave_a_terminal_state_or_lower_a_fence(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    job_id = submit()
    with sessions.begin() as session:
        transitions.request_cancel(session, job_id)
    for change in ("status = 'queued', finished_at = NULL", "fence = -1"):
        with pytest.raises(IntegrityError, match="cannot"), sessions.begin() as session:
            session.execute(text(f"UPDATE jobs SET {change}"))
    with pytest.raises(IntegrityError, match="terminal"), sessions.begin() as session:
        session.execute(
            text(
                "INSERT INTO job_transitions (job_id, to_status, reason, fence, attempt)"
                " VALUES (:id, 'failed', 'error', 0, 0)"
            ),
            {"id": job_id},
        )


def test_every_queued_job_has_a_hint_of_the_same_transaction(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    submit()
    with sessions.begin() as session:
        assert hints.take_unpublished(session) == {"gpu": 1}
    with sessions.begin() as session:
        assert not hints.take_unpublished(session)
        assert hints.claimable(session, older_than_seconds=0) == {"gpu": 1}


def test_a_job_that_does_not_exist_is_named(sessions: Sessions) -> None:
    with pytest.raises(NotFound, match="'training_0'"), sessions.begin() as session:
        transitions.request_cancel(session, "training_0")
