"""Trainings on several hosts: real worker processes that go by the names of different hosts."""

from __future__ import annotations

import itertools
import signal

import psutil
import pytest

from academy.host.processes import is_alive
from academy.lifecycle import MemberStatus
from academy.store.jobs import gangs, slots, transitions, workers
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim
from tests.faults.programs import Program
from tests.integration.workers.conftest import Yard

pytestmark = pytest.mark.slow  # real workers, leases and retries take tens of seconds


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
        held = slots.busy_workers(session)
        led = set(session.query(Job.worker_id).filter(Job.lease_expires_at.is_not(None)))
    return [str(each.worker_id) for each in held if (each.worker_id,) not in led]


def test_gangs_that_want_the_same_hosts_are_trained_on_both_one_after_the_other(
    yard: Yard,
) -> None:
    for name in ("a", "b", "b"):  # a second worker of the same host is no third host
        host(yard, name)
    yard.keeper()
    wide = [yard.submit(40, hosts=2) for _ in range(3)]
    yard.until(lambda: any(runs(yard, each) for each in wide), "both hosts train one of them")
    narrow = [yard.submit(5) for _ in range(4)]
    everything = [*wide, *narrow]
    yard.until(lambda: all(yard.job(each).status == "finished" for each in everything), "all end")
    yard.until(lambda: parts(yard) == [], "the members are free")
    for each in everything:
        assert yard.job(each).attempt == 1 and terminal(yard, each) == 1
        assert not any(is_alive(pid) for pid in trainers(yard, each))


@pytest.mark.parametrize("lost", ["killed leader", "frozen leader", "killed member"])
def test_a_lost_worker_ends_the_attempt_everywhere_and_a_new_gang_goes_on(
    yard: Yard, lost: str
) -> None:
    yard.settings = yard.settings.changed(lease_seconds=6.0)
    programs = host(yard, "a"), host(yard, "b")
    yard.keeper()
    hurry = yard.folder / "hurry"
    # Slow steps: a frozen worker reads nothing, and a trainer whose pipe is full looks at nothing.
    job_id = yard.submit(2_000, 0.3, hosts=2, hurry=str(hurry))
    yard.until(lambda: runs(yard, job_id), "both hosts train")
    yard.until(lambda: yard.job(job_id).checkpoint is not None, "a checkpoint is recorded")
    began = trainers(yard, job_id)
    leader, member = led_and_followed(yard, job_id, *programs)
    if lost == "frozen leader":
        leader.freeze()
    else:
        (leader if lost == "killed leader" else member).send(signal.SIGKILL)
    yard.until(lambda: not any(is_alive(pid) for pid in began), "all its trainers end")
    yard.until(lambda: len(yard.reasons(job_id)) > 3, "it is given back")
    assert yard.reasons(job_id)[3] == ("retry" if lost == "killed member" else "lease_lost")
    if lost == "killed member":
        assert yard.detail(job_id, "retry")["code"] == "worker_lost"
    host(yard, "c")
    yard.until(lambda: runs(yard, job_id, 2), "a new gang goes on")
    assert yard.ledger(job_id, "began")[-1]["first_step"] > 1
    if lost == "frozen leader":
        leader.thaw()  # it finds that it has lost the job, and writes nothing
    hurry.touch()
    yard.until(lambda: yard.job(job_id).status == "finished", "it finishes")
    assert terminal(yard, job_id) == 1


def test_a_killed_trainer_of_a_member_is_retried_by_all_and_a_cancel_ends_all(yard: Yard) -> None:
    host(yard, "a"), host(yard, "b")
    yard.keeper()
    job_id = yard.submit(8000, hosts=2)
    yard.until(lambda: runs(yard, job_id), "both hosts train")
    psutil.Process(yard.ledger(job_id, "joined")[0]["pid"]).kill()
    yard.until(lambda: "retry" in yard.reasons(job_id), "it is retried")
    detail = yard.detail(job_id, "retry")
    assert detail["code"] == "trainer_crashed" and "On the host" in detail["message"], detail
    assert "SIGKILL" in detail["message"]
    yard.until(lambda: runs(yard, job_id, 2), "both hosts train again")
    job = yard.job(job_id)
    stale = Claim(job_id, job.fence - 1, job.attempt - 1, parts(yard)[0])
    with yard.sessions.begin() as session:
        gangs.end(session, stale, MemberStatus.LEFT)
        assert len(parts(yard)) == 1  # a member of the attempt that is over changes nothing
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


def test_a_host_that_does_not_get_ready_gives_the_job_back(yard: Yard) -> None:
    """A member that is given its part and then says nothing, as if its host had gone."""
    yard.settings = yard.settings.changed(lease_seconds=6.0)
    worker = host(yard, "a")
    alike = yard.worker_of(worker).versions
    job_id = yard.submit(5, hosts=2)
    yard.keeper()

    def is_claimed() -> bool:
        with yard.sessions.begin() as session:
            workers.seen(session, "silent", queue="gpu", host="b", pid=1, versions=alike, gpus=[])
        return yard.job(job_id).attempt == 1

    yard.until(is_claimed, "it is claimed")
    yard.until(lambda: "drained" in yard.reasons(job_id), "it is given back")
    detail = yard.detail(job_id, "drained")
    assert detail["code"] == "worker_lost" and "not heard of in time" in detail["message"]
    job = yard.job(job_id)
    assert (job.status, job.crashes) == ("queued", 0) and worker.is_running
