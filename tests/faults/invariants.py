"""What holds after every fault, read from the database, the ledger and the process table."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import psutil

from academy.lifecycle import TERMINAL
from academy.store.jobs import jobs
from tests.faults.programs import processes_of
from tests.faults.stack import Stack
from tests.faults.trainer_double import weights_after
from tests.waiting import until


@dataclass(frozen=True)
class Broken:
    """The promises that a run broke; all of them are zero (or empty) where the engine is right."""

    lost: int
    not_over: int
    terminal_transitions_not_one: int
    stale_writes: int
    orphans: int
    wrong_adapters: int


NOTHING = Broken(0, 0, 0, 0, 0, 0)


def check(stack: Stack, within: float | None = None) -> None:
    """Wait until every job is over (by default two leases, and a minute) and assert."""
    stack.quiesce(60 + stack.form.seconds(120) if within is None else within)
    until(lambda: orphans(stack) == 0, 10, lambda: f"no orphan trainer\n{stack.logs()}")
    found = measure(stack)
    assert found == NOTHING, f"{found}\n{stack.logs()}"


def measure(stack: Stack) -> Broken:
    """Count what is broken."""
    lost = not_over = not_one = wrong = stale = 0
    with stack.sessions() as session:
        for job_id in stack.submitted:
            job = session.get(jobs.Job, job_id)
            if job is None:
                lost += 1
                continue
            history = jobs.transitions(session, job_id)
            ends = sum(row.to_status in TERMINAL for row in history)
            not_over += job.status not in TERMINAL
            not_one += ends != 1
            # Each claim raises the fence; nobody else does, and history never goes back.
            fences = [row.fence for row in history]
            stale += fences != sorted(fences)
            if job.status == "finished" and _is_doubles(stack, job_id):
                wrong += not _adapter_is_right(stack, job)
    return Broken(lost, not_over, not_one, stale + _stale_writes(stack), orphans(stack), wrong)


def orphans(stack: Stack) -> int:
    """Processes of this home that no program of the stack is the parent of."""
    ours = {each.pid for each in stack.programs if each.is_running}
    over = stack.idle()
    count = 0
    for process in processes_of(stack.home):
        with contextlib.suppress(psutil.Error):  # it ended while we looked at it
            parents = {process.pid, *(each.pid for each in process.parents())}
            command = " ".join(process.cmdline())
            is_trainer = "trainer_double" in command or "academy.trainer" in command
            count += not (parents & ours) or (is_trainer and over)
    return count


def _stale_writes(stack: Stack) -> int:
    """Writes that were accepted from an attempt that was not the job's current one."""
    made = {
        (job_id, line["attempt"], line["digest"])
        for job_id in stack.submitted
        for line in stack.ledger(job_id)
        if line["event"] == "checkpoint"
    }
    with stack.sql() as connection:
        rows = connection.execute("SELECT job_id, what, attempt, detail FROM audit").fetchall()
    return sum(
        what == "stale progress" or (job_id, attempt, detail) not in made
        for job_id, what, attempt, detail in rows
        if _is_doubles(stack, job_id)
    )


def _is_doubles(stack: Stack, job_id: str) -> bool:
    """Whether the double trains it; the real trainer keeps no ledger and signs no checkpoint."""
    return "steps" in stack.submitted.get(job_id, {})


def _adapter_is_right(stack: Stack, job: jobs.Job) -> bool:
    """Every step was taken once, in order, and a finish by another attempt was an adoption."""
    result = job.result or {}
    folder = stack.store.fetch(result["adapter_key"], result["digest"])
    steps = stack.submitted[job.id]["steps"]
    is_whole = (folder / "weights.txt").read_text() == weights_after(job.id, steps)
    trained = [line["attempt"] for line in stack.attempts_begun(job.id)]
    by = result["summary"]["attempt"]
    return is_whole and (by == job.attempt or job.attempt not in trained)
