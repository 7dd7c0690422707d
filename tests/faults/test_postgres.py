"""PostgreSQL goes away: nobody is taken for dead, no trainer is killed, nothing is lost."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from academy.store.jobs import jobs
from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.report import Report
from tests.faults.stack import Stack
from tests.waiting import until


@pytest.fixture(scope="module")
def stack(open_stack: Callable[..., Stack]) -> Iterator[Stack]:
    made = open_stack()
    made.keeper()
    made.crew(3)
    yield made
    made.close()


def test_trainers_go_on_through_one_long_outage(stack: Stack, form: Form, report: Report) -> None:
    row = report.row(
        "one outage of Postgres of 5 minutes: results recorded after it", form.limit(90)
    )
    # Two end while nobody can record it, one lasts longer than the outage.
    steps = [40, 40, 120]
    ids = [stack.submit(steps=each, seconds=form.seconds(300) / 80, every=10) for each in steps]
    for each in ids:
        until(stack.reached(each, 10), 120, lambda: stack.logs())
    waiting = stack.submit(steps=3, seconds=0.01)
    trainers = [stack.trainer_pid(each) for each in ids]
    stack.postgres.stop()
    threading.Event().wait(form.seconds(300))  # the length of the outage, not a wait
    assert not stack.attempts_begun(waiting)
    stack.postgres.start()
    row.add(stack.quiesce(form.limit(90) + form.seconds(150)))
    for each, trainer in zip(ids, trainers, strict=True):
        assert [line["pid"] for line in stack.attempts_begun(each)] == [trainer]
    assert reaped(stack) == 0, stack.logs()
    invariants.check(stack)


def test_short_jobs_survive_many_restarts(stack: Stack, form: Form, report: Report) -> None:
    row = report.row("Postgres stopped 2 s every 5 to 40 s under 500 short jobs")
    before = reaped(stack)
    count = form.rounds(500)
    for _ in range(count):
        stack.submit(steps=3, seconds=0.01)
    began = time.monotonic()
    while not _is_done(stack):
        # Not waits: the pauses between the outages, and the length of each.
        threading.Event().wait(form.seconds(random.uniform(5, 40)))
        stack.postgres.stop()  # this and the start take half a second and more by themselves
        threading.Event().wait(form.seconds(2))
        stack.postgres.start()
        row.add()
        assert time.monotonic() - began < count * 2, f"{stack.not_over()}\n{stack.logs()}"
    row.facts |= {"jobs": count, "drained_seconds": round(time.monotonic() - began, 1)}
    invariants.check(stack)
    assert reaped(stack) == before, stack.logs()
    for each in stack.submitted:
        assert len(stack.attempts_begun(each)) == 1, f"{stack.ledger(each)}\n{stack.logs()}"


def _is_done(stack: Stack) -> bool:
    """Whether every job is over, by a connection that no outage has broken."""
    wanted = list(stack.submitted)
    with stack.sql() as connection:
        row = connection.execute(
            "SELECT count(*) FROM jobs WHERE id = ANY(%s) AND finished_at IS NOT NULL", (wanted,)
        ).fetchone()
    return row is not None and row[0] == len(wanted)


def reaped(stack: Stack) -> int:
    """How many leases a keeper took for lost, and how many attempts failed."""
    with stack.sessions() as session:
        return sum(
            row.reason in {"lease_lost", "crashed_too_often", "retry"}
            for each in stack.submitted
            for row in jobs.transitions(session, each)
        )
