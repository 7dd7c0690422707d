"""A cancel ends a job in whatever state it meets it, and leaves no process."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.programs import until
from tests.faults.report import Report
from tests.faults.stack import Stack


def over(stack: Stack, job_id: str) -> Callable[[], bool]:
    return stack.is_(job_id, "cancelled", "finished")


@pytest.mark.parametrize("valkey_is_up", [True, False], ids=["Valkey up", "Valkey down"])
def test_a_cancel_ends_a_job_in_every_state(
    stack: Stack, form: Form, report: Report, valkey_is_up: bool
) -> None:
    with_valkey = "" if valkey_is_up else ", Valkey down"
    stack.keeper()
    stack.worker()
    stack.ready(1)
    # The blocker holds the only worker, so that what comes after it stays queued.
    blocker = stack.submit(steps=10_000)
    until(lambda: bool(stack.attempts_begun(blocker)), 30, lambda: f"it runs\n{stack.logs()}")
    if not valkey_is_up:
        stack.servers.valkey.stop()
    try:
        queued = report.row(f"cancel while queued{with_valkey}", form.limit(1))
        for _ in range(form.rounds(10)):
            job_id = stack.submit()
            assert stack.cancel(job_id)
            queued.add(until(over(stack, job_id), form.limit(1), "a queued job is cancelled"))
        running = report.row(f"cancel while running{with_valkey}", form.limit(30))
        assert stack.cancel(blocker)
        running.add(until(over(stack, blocker), form.limit(30), lambda: stack.logs()))
    finally:
        if not valkey_is_up:
            stack.servers.valkey.start()
    if not valkey_is_up:
        invariants.check(stack)
        return
    for _ in range(form.rounds(10) - 1):
        job_id = stack.submit(steps=10_000)
        until(lambda job_id=job_id: bool(stack.attempts_begun(job_id)), 30, lambda: stack.logs())
        assert stack.cancel(job_id)
        running.add(until(over(stack, job_id), form.limit(30), lambda: stack.logs()))
    invariants.check(stack)


def test_a_cancel_at_any_moment_of_a_short_job_ends_it_once(
    stack: Stack, form: Form, report: Report
) -> None:
    limit = form.limit(30)
    row = report.row("cancel at a random moment from the claim to the finish", limit)
    stack.keeper()
    stack.worker()
    stack.ready(1)
    for number in range(form.rounds(20)):
        job_id = stack.submit(steps=3, seconds=0.01)
        if number % 2:
            until(lambda job_id=job_id: not stack.is_(job_id, "queued")(), limit, "it is claimed")
        else:
            until(lambda job_id=job_id: bool(stack.attempts_begun(job_id)), limit, "it is trained")
        time.sleep(random.uniform(0, 0.2))  # not a wait: the moment of the fault
        stack.cancel(job_id)
        row.add(until(over(stack, job_id), limit, lambda: f"{stack.statuses()}\n{stack.logs()}"))
    invariants.check(stack)


def test_a_cancel_on_a_dead_host_is_ended_by_the_keeper(
    stack: Stack, form: Form, report: Report
) -> None:
    limit = form.limit(80)
    row = report.row("cancel on a dead host", limit)
    stack.keeper()
    workers = [stack.worker() for _ in range(2)]
    stack.ready(2)
    for _ in range(form.rounds(10) // 2 or 1):
        ids = [stack.submit(steps=10_000) for _ in workers]
        until(
            lambda ids=ids: all(stack.attempts_begun(each) for each in ids),
            30,
            lambda: stack.logs(),
        )
        for worker in workers:
            worker.kill()
        began = time.monotonic()
        for job_id in ids:
            assert stack.cancel(job_id)
        for job_id in ids:
            until(over(stack, job_id), limit, lambda: stack.logs())
            row.add(time.monotonic() - began)
        for worker in workers:
            worker.start()
    invariants.check(stack)
