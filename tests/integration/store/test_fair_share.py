"""Roles and keys get their weight's part of the workers, and none of them starves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg

from academy.store.engine import Sessions
from academy.store.jobs import shares, transitions
from academy.store.jobs.transitions import Claim

Submit = Callable[..., str]


def claim(sessions: Sessions, worker: str = "w") -> tuple[str, Claim]:
    with sessions.begin() as session:
        job = transitions.claim(session, "gpu", worker, 60)
        assert job is not None
        return job.share, Claim(job.id, job.fence, job.attempt, worker)


def finish(sessions: Sessions, held: Claim) -> None:
    with sessions.begin() as session:
        transitions.finish(session, held, {})


def weigh(sessions: Sessions, **weights: float) -> None:
    with sessions.begin() as session:
        for role, weight in weights.items():
            shares.set_weight(session, f"role:{role}", weight)


def many(database_url: str, count: int, role: str) -> None:
    """Queues jobs in one statement, all of them older than any that comes later."""
    with psycopg.connect(database_url, connect_timeout=10) as connection:
        connection.execute(
            "INSERT INTO jobs (id, kind, queue, status, priority, role, fence, attempt, crashes,"
            " parameters) SELECT %(role)s || '-' || n, 'training', 'gpu', 'queued', 0, %(role)s,"
            " 0, 0, 0, '{}' FROM generate_series(1, %(count)s) AS n",
            {"role": role, "count": count},
        )


def test_the_share_of_a_job_is_its_role_or_else_its_key(sessions: Sessions, submit: Submit) -> None:
    for values in ({"role": "coder", "created_by": "ci"}, {"created_by": "ci"}, {}):
        submit(**values)
    assert {claim(sessions)[0] for _ in range(3)} == {"role:coder", "key:ci", "key:"}


def test_running_jobs_converge_to_the_weights(
    sessions: Sessions, submit: Submit, database_url: str
) -> None:
    for role in ("a", "b", "c"):
        many(database_url, 60, role)
    weigh(sessions, a=3, b=2)  # c has no weight, so it has 1
    running = [claim(sessions) for _ in range(12)]
    assert Counter(share for share, _ in running) == {"role:a": 6, "role:b": 4, "role:c": 2}
    # Whichever end, and in whatever order, the places are filled by weight again.
    for _ in range(3):
        ended, running = running[::2], running[1::2]
        for _, held in ended:
            finish(sessions, held)
        running += [claim(sessions) for _ in ended]
        assert Counter(share for share, _ in running) == {"role:a": 6, "role:b": 4, "role:c": 2}


def test_a_single_worker_goes_round_by_weight(
    sessions: Sessions, submit: Submit, database_url: str
) -> None:
    many(database_url, 60, "a")
    many(database_url, 60, "b")
    weigh(sessions, a=3)
    started = []
    for _ in range(24):
        share, held = claim(sessions)
        finish(sessions, held)
        started.append(share)
    counts = Counter(started)
    assert 14 <= counts["role:a"] <= 20 and counts["role:b"] >= 4, started


def test_one_late_job_does_not_wait_behind_a_thousand_of_another_role(
    sessions: Sessions, submit: Submit, database_url: str
) -> None:
    many(database_url, 1000, "busy")
    weigh(sessions, busy=1000)
    for _ in range(5):
        finish(sessions, claim(sessions)[1])
    late = submit(role="small")
    assert claim(sessions)[1].job_id == late


def test_priority_comes_before_fairness(sessions: Sessions, submit: Submit) -> None:
    submit(role="idle")
    urgent = [submit(role="busy", priority=1) for _ in range(3)]
    assert [claim(sessions)[1].job_id for _ in range(3)] == urgent


def test_within_a_share_the_oldest_goes_first_and_back_off_is_kept(
    sessions: Sessions, submit: Submit, database_url: str
) -> None:
    waiting, old, new = (submit(role="a") for _ in range(3))
    with psycopg.connect(database_url, connect_timeout=10) as connection:
        connection.execute(
            "UPDATE jobs SET not_before = clock_timestamp() + interval '1 h' WHERE id = %s",
            (waiting,),
        )
    assert [claim(sessions)[1].job_id for _ in range(2)] == [old, new]
    with sessions.begin() as session:
        assert transitions.claim(session, "gpu", "w", 60) is None


def test_a_claim_passes_over_what_others_are_claiming(sessions: Sessions, submit: Submit) -> None:
    """Each of the transactions is open when the next one claims."""
    ids = [submit(role=role, priority=p) for role, p in (("a", 0), ("b", 0), ("b", -1), ("a", -1))]
    taken = []
    with sessions() as one, sessions() as two, sessions() as three, sessions() as four:
        for session in (one, two, three, four):
            job = transitions.claim(session, "gpu", "w", 60)
            assert job is not None, taken
            taken.append(job.id)
        for session in (one, two, three, four):
            session.commit()
    assert taken[:2] == ids[:2] and sorted(taken) == sorted(ids)


def test_many_claimers_of_many_shares_claim_each_job_once(
    sessions: Sessions, submit: Submit, database_url: str
) -> None:
    for number in range(8):
        many(database_url, 15, f"role{number}")
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda n: claim(sessions, f"w{n}"), range(120)))
    assert len({held.job_id for _, held in claims}) == 120
    with sessions.begin() as session:
        assert transitions.claim(session, "gpu", "w", 60) is None


def test_a_claim_reads_no_table_from_end_to_end(
    sessions: Sessions, submit: Submit, database_url: str
) -> None:
    from academy.store.jobs.fair_share import explain

    for number in range(5):
        many(database_url, 2000, f"role{number}")
    with psycopg.connect(database_url, connect_timeout=10) as connection:
        connection.execute("ANALYZE jobs")
        statement = "EXPLAIN " + explain("gpu")
        plan = "\n".join(str(row[0]) for row in connection.execute(statement).fetchall())
    assert "Seq Scan on jobs" not in plan, plan
    assert "jobs_claim_idx" in plan and "jobs_started_idx" in plan, plan


def test_the_overview_tells_weight_and_load_of_each_share(
    sessions: Sessions, submit: Submit
) -> None:
    submit(role="a"), submit(role="a"), submit(created_by="ci")
    weigh(sessions, a=2.5, idle=4)
    claim(sessions)
    with sessions() as session:
        found = {
            each.name: (each.weight, each.running + each.queued)
            for each in shares.overview(session)
        }
    assert found == {"role:a": (2.5, 2), "role:idle": (4, 0), "key:ci": (1, 1)}
