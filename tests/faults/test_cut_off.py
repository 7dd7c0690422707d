"""A worker that stands still or is cut off from Postgres loses its job and stays harmless."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from academy.processes import is_alive
from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.programs import Program, until
from tests.faults.proxy import Proxy
from tests.faults.report import Report
from tests.faults.stack import Stack, through

STEPS = 110
#: How long the training takes by production values: it is not over when its second owner begins.
TRAINING_SECONDS = 150.0


@pytest.fixture
def proxy(stack: Stack) -> Iterator[Proxy]:
    made = Proxy(stack.servers.postgres.port)
    yield made
    made.close()


def second_owner(stack: Stack, job_id: str, form: Form, attempt: int) -> float:
    return until(
        lambda: len(stack.attempts_begun(job_id)) > attempt,
        form.limit(90),
        lambda: f"a second owner: {stack.statuses()}\n{stack.logs()}",
    )


def started(stack: Stack, job_id: str, by: Program) -> None:
    until(
        lambda: stack.reached(job_id, 5)() and stack.owner_of(job_id) is by,
        30,
        lambda: f"{by.name} trains\n{stack.logs()}",
    )


def finished_by_the_second(stack: Stack, job_id: str) -> None:
    within = stack.form.limit(2 * TRAINING_SECONDS) + 30
    until(stack.is_(job_id, "finished"), within, lambda: f"{stack.ledger(job_id)}\n{stack.logs()}")
    assert len(stack.attempts_begun(job_id)) == 2, f"{stack.ledger(job_id)}\n{stack.logs()}"


def test_a_worker_that_stood_still_finds_its_job_taken_and_stops(
    stack: Stack, form: Form, report: Report
) -> None:
    found = report.row("SIGSTOP of a worker: second owner", form.limit(90))
    dead = report.row("SIGCONT of that worker: its trainer is dead", form.limit(15))
    stack.keeper()
    workers = [stack.worker(), stack.worker()]
    stack.ready(2)
    for _ in range(form.rounds(5)):
        job_id = stack.submit(steps=STEPS, seconds=form.seconds(TRAINING_SECONDS) / STEPS)
        until(stack.reached(job_id, 5), 30, lambda: stack.logs())
        first = stack.owner_of(job_id)
        assert first is not None
        trainer = stack.trainer_pid(job_id)
        first.freeze()
        found.add(second_owner(stack, job_id, form, 1))
        first.thaw()
        dead.add(until(lambda trainer=trainer: not is_alive(trainer), form.limit(15), "it is dead"))
        finished_by_the_second(stack, job_id)
    assert all(each.is_running for each in workers)
    invariants.check(stack)


@pytest.mark.parametrize("how", ["refused", "dropped", "dropped, then forgotten"])
def test_a_worker_cut_off_from_postgres_loses_its_job_and_stops_when_it_is_back(
    stack: Stack, form: Form, report: Report, proxy: Proxy, how: str
) -> None:
    found = report.row(f"worker cut off from Postgres ({how}): second owner", form.limit(90))
    dead = report.row(f"it is back ({how}): its trainer is dead", form.limit(15))
    stack.keeper()
    first = stack.worker(database_url=through(proxy, stack.settings.database_url))
    stack.ready(1)
    for _ in range(form.rounds(5) // 3 or 1):
        job_id = stack.submit(steps=STEPS, seconds=form.seconds(TRAINING_SECONDS) / STEPS)
        started(stack, job_id, first)
        trainer = stack.trainer_pid(job_id)
        second = stack.worker()
        if how == "refused":
            proxy.cut()
        else:
            proxy.freeze()
        found.add(second_owner(stack, job_id, form, 1))
        assert is_alive(trainer), "blind, it goes on"
        began = time.monotonic()
        proxy.thaw(forget=how.endswith("forgotten"))
        until(lambda trainer=trainer: not is_alive(trainer), form.limit(15), lambda: stack.logs())
        dead.add(time.monotonic() - began)
        finished_by_the_second(stack, job_id)
        second.stop()
    invariants.check(stack)
