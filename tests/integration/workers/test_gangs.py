"""Trainings on several hosts: real worker processes that go by the names of different hosts."""

from __future__ import annotations

import itertools
import signal
from dataclasses import replace
from typing import Any

import psutil
import pytest

from academy.processes import is_alive
from academy.store import gangs, slots, transitions, workers
from academy.store.tables import Job
from academy.store.transitions import Claim
from tests.faults.programs import Program
from tests.integration.workers.conftest import Yard


def host(yard: Yard, name: str) -> Program:
    """A started worker that says that it is on that host."""
    return yard.worker({"ACADEMY_HOST_NAME": name, "CUDA_VISIBLE_DEVICES": ""})


def led_and_followed(yard: Yard, job_id: str, *programs: Program) -> tuple[Program, Program]:
    """The worker that leads the job, and one that has a part in it, once all of them are at it."""
    job = yard.job(job_id)
    led = {yard.worker_of(each).id == job.worker_id: each for each in programs}
    return led[True], led[False]


def runs(yard: Yard, job_id: str, attempt: int = 1) -> bool:
    """Whether that attempt or a later one trains on both hosts."""
    return all(
        any(each["attempt"] >= attempt for each in yard.ledger(job_id, event))
        for event in ("began", "joined")
    )


def trainers(yard: Yard, job_id: str) -> list[int]:
    return [each["pid"] for event in ("began", "joined") for each in yard.ledger(job_id, event)]


def terminal(yard: Yard, job_id: str) -> int:
    endings = {"completed", "error", "cancel_done", "cancel_orphaned", "crashed_too_often"}
    return sum(reason in endings for reason in yard.reasons(job_id))


def parts(yard: Yard) -> list[str]:
    """The workers that have a part in a job of another one."""
    with yard.sessions() as session:
        held = slots.holdings(session)
        led = set(session.query(Job.worker_id).filter(Job.lease_expires_at.is_not(None)))
    return [str(each.worker_id) for each in held if (each.worker_id,) not in led]


def test_a_job_of_two_hosts_is_trained_on_both_and_ends_on_both(yard: Yard) -> None:
    first, second = host(yard, "a"), host(yard, "b")
    host(yard, "b")  # a second worker of the same host is no third one
    yard.keeper()
    job_id = yard.submit(60, hosts=2)
    yard.until(lambda: runs(yard, job_id), "both hosts train")
    assert len(parts(yard)) == 1
    yard.until(lambda: yard.job(job_id).status == "finished", "it finishes")
    yard.until(lambda: parts(yard) == [], "the member is free again")
    assert yard.job(job_id).attempt == 1 and terminal(yard, job_id) == 1
    assert not any(is_alive(pid) for pid in trainers(yard, job_id))
    narrow = [yard.submit(5) for _ in range(3)]
    yard.until(lambda: all(yard.job(each).status == "finished" for each in narrow), "all go on")
    assert first.is_running and second.is_running


@pytest.mark.parametrize("killed", ["leader", "member"])
def test_a_killed_worker_ends_the_attempt_everywhere_and_a_new_gang_goes_on(
    yard: Yard, killed: str
) -> None:
    yard.settings = replace(yard.settings, lease_seconds=6.0)
    programs = host(yard, "a"), host(yard, "b")
    yard.keeper()
    job_id = yard.submit(400, hosts=2)
    yard.until(lambda: runs(yard, job_id), "both hosts train")
    yard.until(lambda: yard.job(job_id).checkpoint is not None, "a checkpoint is recorded")
    began = trainers(yard, job_id)
    leader, member = led_and_followed(yard, job_id, *programs)
    (leader if killed == "leader" else member).send(signal.SIGKILL)
    yard.until(lambda: not any(is_alive(pid) for pid in began), "all its trainers end")
    yard.until(lambda: len(yard.reasons(job_id)) > 3, "it is given back")
    assert yard.reasons(job_id)[3] == ("lease_lost" if killed == "leader" else "retry")
    if killed == "member":
        assert yard.detail(job_id, "retry")["code"] == "worker_lost"
    host(yard, "c")
    yard.until(lambda: runs(yard, job_id, 2), "a new gang goes on")
    assert yard.ledger(job_id, "began")[-1]["first_step"] > 1
    yard.until(lambda: yard.job(job_id).status == "finished", "it finishes")
    assert terminal(yard, job_id) == 1


def test_a_killed_trainer_of_a_member_is_retried_by_all(yard: Yard) -> None:
    host(yard, "a"), host(yard, "b")
    yard.keeper()
    job_id = yard.submit(200, hosts=2)
    yard.until(lambda: runs(yard, job_id), "both hosts train")
    psutil.Process(yard.ledger(job_id, "joined")[0]["pid"]).kill()
    yard.until(lambda: "retry" in yard.reasons(job_id), "it is retried")
    detail = yard.detail(job_id, "retry")
    assert detail["code"] == "trainer_crashed" and "On the host" in detail["message"], detail
    assert "SIGKILL" in detail["message"]
    yard.until(lambda: yard.job(job_id).status == "finished", "it finishes")
    assert terminal(yard, job_id) == 1


def test_a_cancel_ends_the_trainers_of_all_hosts(yard: Yard) -> None:
    host(yard, "a"), host(yard, "b")
    yard.keeper()
    job_id = yard.submit(4000, hosts=2)
    yard.until(lambda: runs(yard, job_id), "both hosts train")
    with yard.sessions.begin() as session:
        transitions.request_cancel(session, job_id)
    yard.until(lambda: yard.job(job_id).status == "cancelled", "it is cancelled")
    yard.until(
        lambda: not any(is_alive(pid) for pid in trainers(yard, job_id)) and parts(yard) == [],
        "the trainers of both hosts end",
    )
    assert terminal(yard, job_id) == 1


def test_a_member_that_drains_costs_no_crash_and_no_step(yard: Yard) -> None:
    programs = host(yard, "a"), host(yard, "b")
    yard.keeper()
    job_id = yard.submit(300, hosts=2)
    yard.until(lambda: runs(yard, job_id), "both hosts train")
    yard.until(lambda: len(yard.ledger(job_id, "checkpoint")) > 1, "it is under way")
    _, member = led_and_followed(yard, job_id, *programs)
    yard.drain(member)
    yard.until(lambda: not member.is_running, "the member ends")
    assert member.status == 0
    host(yard, "c")
    yard.until(lambda: yard.job(job_id).status == "finished", "a new gang finishes it")
    assert "drained" in yard.reasons(job_id) and yard.job(job_id).crashes == 0
    begun, saved = yard.ledger(job_id, "began"), yard.ledger(job_id, "checkpoint")
    for before, after in itertools.pairwise(begun):
        last = max(each["step"] for each in saved if each["attempt"] <= before["attempt"])
        assert after["first_step"] == last + 1


def test_two_gangs_that_want_the_same_hosts_both_finish(yard: Yard) -> None:
    host(yard, "a"), host(yard, "b")
    yard.keeper()
    both = [yard.submit(20, hosts=2) for _ in range(3)]
    narrow = [yard.submit(5) for _ in range(4)]
    yard.until(
        lambda: all(yard.job(each).status == "finished" for each in (*both, *narrow)),
        "all finish",
    )
    assert all(yard.job(each).attempt == 1 for each in (*both, *narrow))


def test_a_host_that_does_not_get_ready_gives_the_job_back(yard: Yard) -> None:
    """A member that was invited and then says nothing, as if its host had gone."""
    yard.settings = replace(yard.settings, lease_seconds=10.0)
    worker = host(yard, "a")
    facts: dict[str, Any] = {"queue": "gpu", "host": "b", "pid": 1, "versions": {}, "gpus": []}
    with yard.sessions.begin() as session:
        workers.seen(session, "silent", **facts)
    job_id = yard.submit(5, hosts=2)
    yard.keeper()
    yard.until(lambda: "retry" in yard.reasons(job_id), "it is given back")
    assert yard.detail(job_id, "retry")["code"] == "worker_lost"
    assert worker.is_running


def test_a_stale_member_can_write_nothing(yard: Yard) -> None:
    host(yard, "a"), host(yard, "b")
    yard.keeper()
    job_id = yard.submit(4000, hosts=2)
    yard.until(lambda: runs(yard, job_id), "both hosts train")
    job = yard.job(job_id)
    stale = Claim(job_id, job.fence - 1, job.attempt, parts(yard)[0])
    with yard.sessions.begin() as session:
        gangs.end(session, stale, gangs.MemberStatus.LEFT)
    assert len(parts(yard)) == 1
