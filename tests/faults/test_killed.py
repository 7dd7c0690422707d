"""SIGKILL of the supervisor, of the trainer, or of both, at a random step."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time

from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.programs import until
from tests.faults.report import Report
from tests.faults.stack import Stack

EVERY = 5


def test_a_killed_training_runs_again_and_loses_one_interval_at_most(
    stack: Stack, form: Form, report: Report
) -> None:
    limit = form.limit(90)
    row = report.row("SIGKILL of supervisor, trainer, or both, at a random step", limit)
    stack.keeper()
    workers = [stack.worker(), stack.worker()]
    stack.ready(2)
    victims = itertools.cycle(["trainer", "supervisor", "both"])
    rounds = form.rounds(20)
    job_id = ""
    for number in range(rounds):
        if number % 2 == 0:  # two kills a job: fewer than a job may crash without progress
            job_id = stack.submit(steps=60, every=EVERY)
        attempt = number % 2 + 1
        first = EVERY * random.randint(1, 4)
        until(
            lambda job_id=job_id, attempt=attempt, first=first: (
                stack.reached(job_id, first, attempt)() or stack.is_(job_id, "finished")()
            ),
            limit,
            lambda job_id=job_id: f"{job_id} trains: {stack.ledger(job_id)}\n{stack.logs()}",
        )
        time.sleep(random.uniform(0, 0.05 * EVERY))  # not a wait: the moment of the fault
        seconds = _kill(stack, job_id, next(victims))
        for worker in workers:
            worker.start()
        if stack.job(job_id).status == "finished":
            row.add()  # the kill came too late to hurt; it must not have hurt, then
            continue
        row.add(
            seconds
            + until(
                lambda job_id=job_id, attempt=attempt: (
                    len(stack.attempts_begun(job_id)) > attempt or stack.is_(job_id, "finished")()
                ),
                limit,
                lambda job_id=job_id: f"{job_id} runs again: {stack.statuses()}\n{stack.logs()}",
            )
        )
    invariants.check(stack, within=form.limit(90) * 2)
    for each in stack.submitted:
        assert lost_steps(stack, each) <= EVERY, stack.ledger(each)
        assert stack.job(each).status == "finished", stack.job(each).failure_message


def lost_steps(stack: Stack, job_id: str) -> int:
    """The most steps that an attempt had to do again which a checkpoint already held."""
    lost = reached = 0
    for line in stack.ledger(job_id):
        if line["event"] == "began":
            lost = max(lost, reached - (line["first_step"] - 1))
        elif line["event"] == "checkpoint":
            reached = max(reached, line["step"])
    return lost


def _kill(stack: Stack, job_id: str, victim: str) -> float:
    """Kill, together as far as two calls can be; the seconds from then to now."""
    began = time.monotonic()
    owner = stack.owner_of(job_id)
    if victim in {"trainer", "both"}:
        try:
            os.kill(stack.trainer_pid(job_id), signal.SIGKILL)
        except ProcessLookupError:
            return 0.0  # it finished a moment ago
    if victim in {"supervisor", "both"} and owner is not None:
        owner.kill()
    return time.monotonic() - began
