"""PostgreSQL goes away: nobody is taken for dead, no trainer is killed, nothing is lost."""

from __future__ import annotations

import random
import threading
import time

from academy.store import jobs
from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.programs import until
from tests.faults.report import Report
from tests.faults.stack import Stack


def test_short_jobs_survive_many_restarts(stack: Stack, form: Form, report: Report) -> None:
    row = report.row("Postgres stopped 2 s again and again under many short jobs", 0)
    stack.keeper()
    for _ in range(2):
        stack.worker()
    stack.ready(2)
    count = form.rounds(40)
    row.limit_seconds = None
    for _ in range(count):
        stack.submit(steps=3, seconds=0.01)
    pause = threading.Event()
    began = time.monotonic()
    while not stack.idle() and row.times < 5 * form.times:
        pause.wait(random.uniform(2, 4 if form.scale > 1 else 40))
        stack.servers.postgres.stop()
        pause.wait(max(0.5, form.seconds(2)))  # the length of the outage, not a wait
        stack.servers.postgres.start()
        row.add()
    row.facts |= {"jobs": count}
    invariants.check(stack, within=max(120.0, count))
    row.facts |= {"drained_seconds": round(time.monotonic() - began, 1)}
    assert reaped(stack) == 0, stack.logs()


def test_trainers_go_on_through_one_long_outage(stack: Stack, form: Form, report: Report) -> None:
    row = report.row(
        "one outage of Postgres of 5 minutes: results recorded after it", form.limit(90)
    )
    stack.keeper()
    for _ in range(2):
        stack.worker()
    stack.ready(2)
    ids = [stack.submit(steps=60, seconds=form.seconds(5) / 3, every=10) for _ in range(2)]
    waiting = stack.submit(steps=3, seconds=0.01)
    for each in ids:
        until(stack.reached(each, 10), 120, lambda: stack.logs())
    trainers = [stack.trainer_pid(each) for each in ids]
    stack.servers.postgres.stop()
    threading.Event().wait(form.seconds(300))  # the length of the outage, not a wait
    stack.servers.postgres.start()
    row.add(
        until(
            lambda: stack.is_(waiting, "finished")() and stack.idle(),
            form.limit(90) + 30,
            lambda: f"{stack.statuses()}\n{stack.logs()}",
        )
    )
    for each, trainer in zip(ids, trainers, strict=True):
        assert [line["pid"] for line in stack.attempts_begun(each)] == [trainer]
    assert reaped(stack) == 0, stack.logs()
    invariants.check(stack)


def reaped(stack: Stack) -> int:
    """How many leases a keeper took for lost."""
    with stack.sessions() as session:
        return sum(
            row.reason in {"lease_lost", "crashed_too_often", "retry"}
            for each in stack.submitted
            for row in jobs.transitions(session, each)
        )
