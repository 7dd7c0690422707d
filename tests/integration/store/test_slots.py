"""GPU slots: all of a job's devices or none, free when the job is, and nobody starves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from academy.lifecycle import FailureCode, Status
from academy.store.engine import Sessions
from academy.store.jobs import jobs, slots, transitions, workers
from academy.store.jobs.fleet import Demand
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim, Failure
from academy.store.schema import needed_revision
from tests.integration.store.conftest import Site, Submit


def test_a_job_gets_the_claimers_own_device_and_no_other(site: Site, submit: Submit) -> None:
    site.host("h", "a", "b")
    first, second = submit(), submit()
    assert site.got("b") == (first, ["b"])
    assert site.got("b") is None  # its device is taken
    assert site.got("a") == (second, ["a"])
    assert site.taken() == {"a", "b"}


def test_a_wide_job_takes_the_devices_of_other_processes_of_its_host(
    site: Site, submit: Submit
) -> None:
    site.host("h", "a", "b", "c")
    site.host("other", "x")
    wide, narrow = submit(parameters={"gpus": 2}), submit()
    assert site.got("c") == (wide, ["c", "a"])
    assert site.got("a") is None  # reserved, though its process does nothing
    assert site.got("b") == (narrow, ["b"])


def test_a_wide_job_takes_all_its_devices_or_none(site: Site, submit: Submit) -> None:
    site.host("h", "a", "b")
    site.host("other", "x")
    narrow = submit(priority=1)
    wide = submit(parameters={"gpus": 2})
    assert site.got("a") == (narrow, ["a"])
    assert site.got("b") is None and site.got("x") is None
    with site.sessions() as session:
        assert jobs.get(session, wide).status == Status.QUEUED
    assert site.taken() == {"a"}


@pytest.mark.parametrize("ending", ["finished", "retried", "drained", "reaped", "cancelled"])
def test_slots_are_free_in_the_moment_in_which_the_job_lets_go(
    site: Site, submit: Submit, ending: str
) -> None:
    site.host("h", "a", "b")
    submit(parameters={"gpus": 2})
    job = site.claim("a")
    assert job is not None and site.taken() == {"a", "b"}
    held = Claim(job.id, job.fence, job.attempt, "w-a")
    failure = Failure(FailureCode.DEVICE_LOST, "gone", "look")
    if ending == "reaped":
        with psycopg.connect(site.database_url, connect_timeout=10) as connection:
            connection.execute("UPDATE jobs SET lease_expires_at = clock_timestamp()")
    with site.sessions.begin() as session:
        if ending == "finished":
            transitions.finish(session, held, {})
        elif ending == "retried":
            transitions.fail_or_retry(session, held, failure, max_crashes=3, retry_seconds=0)
        elif ending == "drained":
            transitions.stopped(session, held)
        elif ending == "reaped":
            assert transitions.reap(session, max_crashes=3, retry_seconds=0) == 1
        else:
            transitions.request_cancel(session, job.id)
            transitions.stopped(session, held)
    assert site.taken() == set()


def test_many_claimers_never_share_a_device(site: Site, submit: Submit) -> None:
    devices = [f"gpu{number}" for number in range(6)]
    site.host("h", *devices)
    for number in range(24):
        submit(parameters={"gpus": 1 + number % 3})

    def work(device: str) -> int:
        done = 0
        for _ in range(12):
            job = site.claim(device)
            if job is not None:
                with site.sessions() as session:
                    held = session.query(Job.devices).filter(Job.lease_expires_at.is_not(None))
                    taken = [each for (row,) in held for each in row]
                assert len(taken) == len(set(taken)), taken
                assert len(job.devices) == job.gpus and device == job.devices[0]
                site.end(job)
                done += 1
        return done

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(work, devices)) > 6


def test_a_device_that_is_gone_or_in_use_is_not_given_out(site: Site, submit: Submit) -> None:
    site.host("h", "a", "b", "c")
    submit(parameters={"gpus": 2})
    assert site.got("a", used=frozenset("a")) is None
    assert site.got("a", gone=frozenset("bc")) is None
    site.see("w-b", "h", [{"uuid": "b", "obstacle": "in use"}])  # as its own worker found
    got = site.got("a")
    assert got is not None and got[1] == ["a", "c"]


def test_the_devices_of_silent_draining_and_stopped_workers_are_not_given_out(
    site: Site, submit: Submit
) -> None:
    site.host("h", "a", "b", "c", "d")
    submit(parameters={"gpus": 2})
    with site.sessions.begin() as session:
        workers.request_drain(session, "w-b")
        workers.stopped(session, "w-c")
    with psycopg.connect(site.database_url, connect_timeout=10) as connection:
        connection.execute("UPDATE workers SET last_seen_at = '2020-01-01' WHERE id = 'w-d'")
    assert site.got("a") is None


def test_a_wide_job_that_waited_long_enough_is_kept_a_host_free(site: Site, submit: Submit) -> None:
    site.host("h", "a", "b")
    site.host("small", "x")
    first = submit()
    wide = submit(parameters={"gpus": 2})
    narrow = [submit() for _ in range(3)]
    running = site.claim("a")
    assert running is not None and running.id == first
    got = site.claim("b")
    assert got is not None and got.id == narrow[0]  # it has not waited for long
    site.end(got)
    site.waited(wide, 301)
    assert site.got("b") is None  # kept free
    assert site.got("x") == (narrow[1], ["x"])  # another host goes on
    urgent = submit(priority=1)
    got = site.claim("b")
    assert got is not None and got.id == urgent  # a higher priority goes first as ever
    site.end(got)
    site.end(running)
    assert site.got("b") == (wide, ["b", "a"])
    assert site.got("a") is None


def test_only_one_host_is_kept_free(site: Site, submit: Submit) -> None:
    site.host("h1", "a", "b")
    site.host("h2", "x", "y")
    for device in ("a", "x"):
        submit(priority=9)
        assert site.claim(device) is not None
    wide = submit(parameters={"gpus": 2})
    site.waited(wide, 301)
    narrow = submit()
    assert site.got("b") is None  # of two equal hosts the first by name
    assert site.got("y") == (narrow, ["y"])


def test_a_wide_job_that_no_host_could_hold_keeps_nobody_waiting(
    site: Site, submit: Submit, sessions: Sessions
) -> None:
    site.host("h", "a", "b")
    huge = submit(parameters={"gpus": 8})
    cuda = submit(parameters={"device": "cuda", "gpus": 2})
    site.waited(huge, 301)
    narrow = submit(priority=-1)
    assert site.got("b") == (cuda, ["b", "a"])
    with sessions() as session:
        found = slots.why_waiting(session, jobs.get(session, huge), 60)
        assert found is not None and "8 GPUs of one host" in found and "has 2" in found
        assert slots.why_waiting(session, jobs.get(session, narrow), 60) is None
        empty = slots.live_fleet(session, "curation", 60)
        assert "No live worker" in str(slots.why_never(Demand("curation", 1, 1, False), empty))


def test_a_cpu_worker_takes_wide_jobs_but_none_that_insist_on_a_gpu(
    site: Site, submit: Submit, sessions: Sessions
) -> None:
    site.see("cpu", "h", [])
    cuda = submit(parameters={"device": "cuda"}, priority=5)
    wide = submit(parameters={"gpus": 4})
    with sessions.begin() as session:
        job = transitions.claim(session, "gpu", "cpu", 60)
        assert job is not None and (job.id, job.devices) == (wide, [])
    with sessions.begin() as session:
        assert transitions.claim(session, "gpu", "cpu", 60) is None
        why = slots.why_waiting(session, jobs.get(session, cuda), 60)
        assert "no live worker has a GPU" in str(why)


def test_nothing_is_claimed_on_a_schema_of_another_revision(
    sessions: Sessions, submit: Submit, database_url: str
) -> None:
    submit()
    with psycopg.connect(database_url, connect_timeout=10) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    needed = needed_revision()
    with sessions.begin() as session:
        assert transitions.claim(session, "gpu", "w", 60, revision=needed) is None
        assert workers.schema_at(session) == "9999"
        assert transitions.claim(session, "gpu", "w", 60, revision="9999") is not None


def test_the_database_refuses_a_job_on_a_queue_that_nobody_works_on(
    database_url: str, submit: Submit
) -> None:
    job_id = submit()
    with (
        psycopg.connect(database_url, connect_timeout=10) as connection,
        pytest.raises(psycopg.errors.CheckViolation, match="jobs_queue_check"),
    ):
        connection.execute("UPDATE jobs SET queue = 'tpu' WHERE id = %s", (job_id,))
