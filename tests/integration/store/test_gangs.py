"""Jobs of several hosts: all of their slots or none, nobody waits for ever, and stale parts."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import text

from academy.errors import StaleFence
from academy.lifecycle import MemberStatus, Status
from academy.store.jobs import gangs, jobs, slots, transitions, workers
from academy.store.jobs.slots import Offer
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim
from tests.integration.store.conftest import Site, Submit

TWO = {"hosts": 2}


def claim_of(job: Job, worker: str | None = None) -> Claim:
    return Claim(job.id, job.fence, job.attempt, worker or job.worker_id or "")


def on_cpus(site: Site, worker: str, host: str) -> Job | None:
    """What a worker without GPUs claims."""
    with site.sessions.begin() as session:
        return transitions.claim(session, "gpu", worker, 60, Offer(host))


def test_a_gang_gets_its_slots_on_all_hosts_in_one_claim(site: Site, submit: Submit) -> None:
    site.host("h1", "a", "b")
    site.host("h2", "x", "y")
    site.host("h3", "z")
    job_id = submit(parameters={"gpus": 2, "hosts": 2})
    job = site.claim("a")
    assert job is not None and (job.id, job.devices) == (job_id, ["a", "b"])
    assert site.taken() == {"a", "b", "x", "y"}
    [part] = site.parts("w-x", "w-y", "w-z").values()
    assert (part.place, set(part.devices)) == (1, {"x", "y"})
    assert part.claim == claim_of(job, part.claim.worker_id)
    submit(), submit()
    assert site.claim("x") is None and site.claim("y") is None  # both slots of h2 are taken
    assert site.claim("z") is not None


def test_a_gang_that_lacks_one_slot_holds_none(site: Site, submit: Submit) -> None:
    site.host("h1", "a")
    site.host("h2", "x")
    submit(priority=1)
    busy = site.claim("x")
    assert site.looks("w-a") == (False, None)
    job_id = submit(parameters=TWO)
    assert busy is not None and site.claim("a") is None
    assert site.taken() == {"x"}
    assert site.looks("w-a") == (True, None)
    site.end(busy)
    assert site.got("x") == (job_id, ["x"])  # whoever becomes free last leads
    part = site.parts("w-a")["w-a"]
    assert site.looks("w-a") == (False, part) and site.looks("w-x") == (False, None)


@pytest.mark.parametrize("why", ["draining", "stopped", "silent", "blocked", "same host", "older"])
def test_a_worker_that_takes_no_jobs_is_given_no_part(site: Site, submit: Submit, why: str) -> None:
    site.see("one", "h1", [])
    site.see("two", "h1" if why == "same host" else "h2", [])
    with site.sessions.begin() as session:
        if why == "draining":
            workers.request_drain(session, "two")
        elif why == "stopped":
            workers.stopped(session, "two")
    if why == "older":
        site.see("two", "h2", [], versions={"academy": "0.1"})
    elif why == "blocked":
        site.see("two", "h2", [], obstacle="the schema is another one")
    elif why == "silent":
        with psycopg.connect(site.database_url, connect_timeout=10) as connection:
            connection.execute("UPDATE workers SET last_seen_at = '2020-01-01' WHERE id = 'two'")
    job_id = submit(parameters=TWO)
    assert on_cpus(site, "one", "h1") is None
    with site.sessions() as session:
        said = slots.why_waiting(session, jobs.get(session, job_id), 60)
    if why in {"draining", "older"}:
        assert said is not None and "asks for 2 hosts" in said and "1 that train on" in said
    assert site.parts("one", "two") == {}


def test_a_worker_with_a_part_claims_nothing_until_it_is_over(site: Site, submit: Submit) -> None:
    site.see("one", "h1", [])
    site.see("two", "h2", [])
    submit(parameters=TWO)
    job = on_cpus(site, "one", "h1")
    assert job is not None
    narrow = submit()
    with site.sessions.begin() as session:  # not even by a claim that looks at no hosts
        assert transitions.claim(session, "gpu", "two", 60) is None
    with site.sessions.begin() as session:
        gangs.end(session, claim_of(job, "two"), MemberStatus.DONE)
    found = on_cpus(site, "two", "h2")
    assert found is not None and found.id == narrow


def test_gangs_are_of_one_kind_of_host(site: Site, submit: Submit) -> None:
    site.host("h1", "a")
    site.see("cpu", "h2", [])
    job_id = submit(parameters={**TWO, "device": "cuda"})
    assert site.claim("a") is None and on_cpus(site, "cpu", "h2") is None
    with site.sessions() as session:
        said = slots.why_waiting(session, jobs.get(session, job_id), 60)
    assert said is not None and "GPUs that can be used 1 are alive" in said


def test_an_overdue_gang_is_kept_its_hosts_free_and_no_other(site: Site, submit: Submit) -> None:
    for host, device in (("h1", "a"), ("h2", "b"), ("h3", "c")):
        site.host(host, device)
    busy = []
    for device in "abc":
        submit()
        busy.append(site.claim(device))
    gang = submit(parameters=TWO)
    narrow = [submit() for _ in range(4)]
    assert all(busy)
    site.end(busy[0])  # type: ignore[arg-type]
    assert site.got("a") == (narrow[0], ["a"])  # it has not waited for long
    site.waited(gang, 301)
    site.end(busy[2])  # type: ignore[arg-type]
    assert site.claim("c") is None  # kept free: the host with most slots free
    with site.sessions() as session:
        first = jobs.get(session, narrow[0])
    site.end(first)
    assert site.got("a") == (gang, ["a"])
    assert site.parts("w-c")["w-c"].devices == ("c",)
    site.end(busy[1])  # type: ignore[arg-type]
    assert site.got("b") == (narrow[1], ["b"])


def test_a_higher_priority_goes_before_an_overdue_gang_and_a_lower_one_after_any(
    site: Site, submit: Submit
) -> None:
    site.host("h1", "a")
    site.host("h2", "b")
    gang = submit(parameters=TWO)
    low = submit(priority=-1)
    urgent = submit(priority=1)
    site.waited(gang, 301)
    assert site.got("a") == (urgent, ["a"])
    assert site.got("b") is None
    with site.sessions() as session:
        site.end(jobs.get(session, urgent))
    assert site.got("b") == (gang, ["b"])
    with site.sessions() as session:
        assert jobs.get(session, low).status == Status.QUEUED


def test_hosts_of_different_versions_are_not_kept_free_for_a_gang(
    site: Site, submit: Submit
) -> None:
    site.host("h1", "a")
    site.host("h2", "b", versions={"torch": "1.0"})
    gang = submit(parameters=TWO)
    site.waited(gang, 301)
    narrow = submit()
    assert site.got("a") == (narrow, ["a"])


def test_many_claimers_of_gangs_neither_share_a_slot_nor_wait_for_each_other(
    site: Site, submit: Submit
) -> None:
    devices = {f"g{host}{slot}": f"h{host}" for host in range(3) for slot in range(2)}
    for device, host in devices.items():
        site.host(host, device)
    chance = random.Random(0)
    ids = [
        submit(parameters={"gpus": chance.choice([1, 2]), "hosts": chance.choice([1, 2, 3])})
        for _ in range(24)
    ]

    def work(device: str) -> int:
        done = 0
        for _ in range(40):
            job = site.claim(device, wide_wait_seconds=0)
            if job is None:
                continue
            with site.sessions() as session:
                held = [each for one in slots.busy_workers(session) for each in one.devices]
                found = gangs.members(session, claim_of(job))
            assert len(held) == len(set(held)), held
            assert len(found) == job.hosts - 1 and len(job.devices) == job.gpus
            with site.sessions.begin() as session:
                for each in found:
                    gangs.end(session, claim_of(job, each.worker_id), MemberStatus.DONE)
            site.end(job)
            done += 1
        return done

    with ThreadPoolExecutor(len(devices)) as pool:
        done = sum(pool.map(work, devices))
    done += work(next(iter(devices)))
    assert done == len(ids)


def test_a_part_ends_with_the_attempt_that_it_belongs_to(site: Site, submit: Submit) -> None:
    site.see("one", "h1", [])
    site.see("two", "h2", [])
    submit(parameters=TWO)
    job = on_cpus(site, "one", "h1")
    assert job is not None
    held = claim_of(job, "two")
    with site.sessions.begin() as session:
        assert gangs.renew(session, held, 60) == Status.PREPARING
        transitions.request_cancel(session, job.id)
        assert gangs.status(session, held) == Status.CANCELLING
        transitions.stopped(session, claim_of(job))
    for write in (
        lambda session: gangs.renew(session, held, 60),
        lambda session: gangs.take_up(session, held),
        lambda session: gangs.told(session, held),
    ):
        with site.sessions.begin() as session, pytest.raises(StaleFence):
            write(session)
    assert list(site.parts("two")) == ["two"]  # its worker is still about to end its trainer
    with site.sessions.begin() as session:
        gangs.end(session, held, MemberStatus.LEFT)
        assert gangs.reap(session) == 0
        assert gangs.members(session, claim_of(job)) == []


def test_the_part_of_a_silent_worker_is_taken_away(site: Site, submit: Submit) -> None:
    site.host("h1", "a")
    site.host("h2", "b")
    submit(parameters=TWO)
    job = site.claim("a")
    assert job is not None and site.taken() == {"a", "b"}
    with psycopg.connect(site.database_url, connect_timeout=10) as connection:
        connection.execute("UPDATE gang_members SET lease_expires_at = clock_timestamp()")
    with site.sessions() as session:
        [member] = gangs.members(session, claim_of(job))
        assert member.is_silent and not member.is_elsewhere
    with site.sessions.begin() as session:
        assert gangs.reap(session) == 1
    assert site.taken() == {"a"}


def test_a_worker_that_stands_still_within_its_renewal_holds_up_no_reaper(
    site: Site, submit: Submit
) -> None:
    site.host("h1", "a")
    site.host("h2", "b")
    submit(parameters=TWO)
    assert site.claim("a") is not None
    with psycopg.connect(site.database_url, connect_timeout=10) as connection:
        connection.execute("UPDATE gang_members SET lease_expires_at = clock_timestamp()")
    with psycopg.connect(site.database_url, connect_timeout=10) as frozen:
        frozen.execute("UPDATE gang_members SET told = '{}'")
        with site.sessions.begin() as session:
            session.execute(text("SET LOCAL lock_timeout = '1ms'"))
            assert gangs.reap(session) == 0
    with site.sessions.begin() as session:
        assert gangs.reap(session) == 1
