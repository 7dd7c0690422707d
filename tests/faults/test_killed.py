"""SIGKILL of the supervisor, of the trainer, or of both, at a random step."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.lanes import side_by_side
from tests.faults.report import Report, Row
from tests.faults.stack import Stack
from tests.waiting import patience, until

EVERY = 5
#: Jobs that are killed at the same time, and the workers that they find free slots on.
LANES, WORKERS = 5, 7
VICTIMS = ["trainer", "supervisor", "both"]


def test_a_killed_training_runs_again_and_loses_one_interval_at_most(
    stack: Stack, form: Form, report: Report
) -> None:
    row = report.row("SIGKILL of supervisor, trainer, or both, at a random step", form.limit(90))
    stack.keeper()
    stack.crew(WORKERS)
    kills = form.rounds(20)

    def lane(number: int) -> None:
        mine = [VICTIMS[kill % len(VICTIMS)] for kill in range(kills)][number::LANES]
        # Two kills a job: fewer than a job may crash without progress.
        for start in range(0, len(mine), 2):
            _kill_one_job(stack, form, row, mine[start : start + 2])

    side_by_side(lane, range(LANES))
    invariants.check(stack, within=form.limit(90) * 2)
    recorded = _recorded(stack)
    for each in stack.submitted:
        # What was recorded is never done again. A worker that waits for a core records later.
        assert lost_steps(stack, each, recorded) == 0, stack.ledger(each)
        assert lost_steps(stack, each) <= EVERY * patience(), stack.ledger(each)
        assert stack.job(each).status == "finished", stack.job(each).failure_message


def _kill_one_job(stack: Stack, form: Form, row: Row, victims: list[str]) -> None:
    limit = form.limit(90)
    job_id = stack.submit(steps=60, every=EVERY)
    for attempt, victim in enumerate(victims, start=1):
        first = EVERY * random.randint(1, 4)
        until(
            lambda attempt=attempt, first=first: (
                stack.reached(job_id, first, attempt)() or stack.is_(job_id, "finished")()
            ),
            limit,
            lambda: f"{job_id} trains: {stack.ledger(job_id)}\n{stack.logs()}",
        )
        # Not a wait: the moment of the fault.
        threading.Event().wait(random.uniform(0, 0.05 * EVERY))
        began = time.monotonic()
        _kill(stack, job_id, victim)
        if not stack.is_(job_id, "finished")():
            until(
                lambda attempt=attempt: (
                    len(stack.attempts_begun(job_id)) > attempt or stack.is_(job_id, "finished")()
                ),
                limit,
                lambda: f"{job_id} runs again: {stack.statuses()}\n{stack.logs()}",
            )
            row.add(time.monotonic() - began)
        else:
            row.add()  # the kill came too late to hurt; it must not have hurt, then


def lost_steps(stack: Stack, job_id: str, recorded: set[str] | None = None) -> int:
    """The most steps that an attempt had to do again which a checkpoint already held.

    With `recorded`, only checkpoints with these digests count.
    """
    lost = reached = 0
    for line in stack.ledger(job_id):
        if line["event"] == "began":
            lost = max(lost, reached - (line["first_step"] - 1))
        elif line["event"] == "checkpoint" and (recorded is None or line["digest"] in recorded):
            reached = max(reached, line["step"])
    return lost


def _recorded(stack: Stack) -> set[str]:
    """The digests of the checkpoints that were recorded with a job."""
    with stack.sql() as connection:
        rows = connection.execute("SELECT detail FROM audit WHERE what = 'checkpoint'").fetchall()
    return {digest for (digest,) in rows}


def _kill(stack: Stack, job_id: str, victim: str) -> None:
    """Kill, together as far as two calls can be; a killed supervisor's host starts it again."""
    owner = stack.owner_of(job_id)
    if victim in {"trainer", "both"}:
        try:
            os.kill(stack.trainer_pid(job_id), signal.SIGKILL)
        except ProcessLookupError:
            return  # it finished a moment ago
    if victim in {"supervisor", "both"} and owner is not None:
        owner.kill()
        owner.start()
