"""A hint is only a message: lost, tenfold or shuffled, every job starts once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import redis

from academy.store.jobs import jobs
from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.report import Report
from tests.faults.stack import Stack
from tests.waiting import until

WORKERS = 2


@pytest.fixture(scope="module")
def stack(open_stack: Callable[..., Stack]) -> Iterator[Stack]:
    made = open_stack()
    made.keeper()
    made.crew(WORKERS)
    yield made
    made.close()


def test_a_job_whose_hint_was_lost_starts(stack: Stack, form: Form, report: Report) -> None:
    limit = form.limit(75)
    row = report.row("hint lost between broker and claim", limit)
    workers = [each for each in stack.programs if each.name == "worker"]
    with redis.Redis.from_url(stack.settings.redis.url, socket_timeout=10) as broker:
        for _ in range(form.rounds(10)):
            # Nobody can take a hint while the workers stand still, so the loss is certain.
            until(stack.idle, limit, "the workers have nothing to do")
            for worker in workers:
                worker.freeze()
            job_id = stack.submit(steps=4, seconds=0.01)
            until(lambda: broker.llen("gpu") > 0, limit, "the hint reached the broker")
            broker.delete("gpu")
            for worker in workers:
                worker.thaw()
            row.add(
                until(
                    lambda job_id=job_id: bool(stack.attempts_begun(job_id)),
                    limit,
                    lambda: f"the job starts\n{stack.logs()}",
                )
            )
    invariants.check(stack)


def test_tenfold_and_shuffled_hints_claim_every_job_once(
    stack: Stack, form: Form, report: Report
) -> None:
    limit = form.limit(75)
    row = report.row("every hint ten times, shuffled", limit)
    for _ in range(form.rounds(10) // 10 or 1):
        ids = [stack.submit(steps=3, seconds=0.01) for _ in range(10)]
        began = time.monotonic()
        stack.hint(10 * len(ids))  # they name no job, so they are in every order at once
        stack.quiesce(limit * 2)
        row.add(time.monotonic() - began)
        for each in ids:
            assert len(stack.attempts_begun(each)) == 1
            with stack.sessions() as session:
                claims = [r for r in jobs.transitions(session, each) if r.reason == "claimed"]
            assert len(claims) == 1
    row.times *= 10
    invariants.check(stack)
