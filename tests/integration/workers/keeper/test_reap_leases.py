"""A job leaves a worker whose lease ran out, once, and not because Postgres was away."""

from __future__ import annotations

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from tests.waiting import until
from workers.keeper.duty import Context
from workers.keeper.reap_leases import ReapLeases


def test_nothing_is_reaped_until_postgres_has_answered_for_two_heart_beats(
    context, sessions: Sessions, submit
) -> None:
    reap = ReapLeases(context)
    job_id = submit()
    with sessions.begin() as session:
        transitions.claim(session, "gpu", "w", 0.0)
    assert reap.do() == 0
    until(lambda: reap.do() == 1, 10, "the lease is reaped")
    with sessions() as session:
        assert jobs.get(session, job_id).status == "queued"


def test_a_failure_of_postgres_lets_the_two_heart_beats_begin_anew(
    context, sessions: Sessions, submit
) -> None:
    reap = ReapLeases(context)
    until(
        lambda: context.steadiness.seconds() > 2 * context.settings.jobs.heartbeat_seconds,
        10,
        "the keeper is steady",
    )
    submit()
    with sessions.begin() as session:
        transitions.claim(session, "gpu", "w", 0.0)
    context.steadiness.end()
    assert reap.do() == 0
    until(lambda: reap.do() == 1, 10, "the lease is reaped")


def test_two_keepers_reap_a_lost_job_once(
    context, settings: Settings, sessions: Sessions, submit
) -> None:
    one, other = ReapLeases(context), ReapLeases(Context.of(settings, sessions))
    job_id = submit()
    with sessions.begin() as session:
        transitions.claim(session, "gpu", "w", 0.0)
    reaped = []
    until(
        lambda: reaped.extend([one.do(), other.do()]) or sum(reaped) > 0, 10, "one of them reaps it"
    )
    assert sum(reaped) == 1
    with sessions() as session:
        assert len(jobs.transitions(session, job_id)) == 3
