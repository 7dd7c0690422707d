"""Keepers may die, be doubled, or be away; no clock but Postgres' decides anything."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.programs import Program
from tests.faults.report import Report
from tests.faults.stack import Stack
from tests.waiting import until

#: The shift of each worker's clock, as libfaketime writes it.
OFFSETS = ["+5m", "-5m"]


@dataclass(frozen=True)
class Away:
    """A stack whose keepers were killed, and jobs that wait for them."""

    stack: Stack
    keepers: list[Program]
    waiting: list[str]
    since: float


@pytest.fixture(scope="module", autouse=True)
def away(open_stack: Callable[..., Stack], request: pytest.FixtureRequest) -> Iterator[Away | None]:
    """Begins first, so that the ten minutes pass while the other tests of this file run."""
    wanted = test_everything_drains_after_all_keepers_were_away.__name__
    if not any(each.name == wanted for each in request.session.items):
        yield None
        return
    stack = open_stack()
    keepers = [stack.keeper(), stack.keeper()]
    stack.crew(1)
    for keeper in keepers:
        keeper.kill()
    waiting = [stack.submit(steps=3, seconds=0.01) for _ in range(10)]
    yield Away(stack, keepers, waiting, time.monotonic())
    stack.close()


def test_one_of_two_keepers_is_enough(stack: Stack, form: Form, report: Report) -> None:
    hinted = report.row("two keepers, one killed: a new job starts", form.limit(15))
    again = report.row("two keepers, one killed: a dead worker's job runs again", form.limit(90))
    keepers = [stack.keeper(), stack.keeper()]
    workers = stack.crew(2)
    job_id = stack.submit(steps=400)
    until(lambda: bool(stack.attempts_begun(job_id)), 30, lambda: stack.logs())
    owner = stack.owner_of(job_id)
    assert owner in workers
    keepers[0].kill()
    later = stack.submit(steps=3, seconds=0.01)
    hinted.add(
        until(lambda: bool(stack.attempts_begun(later)), form.limit(15), lambda: stack.logs())
    )
    owner.kill()
    again.add(
        until(lambda: len(stack.attempts_begun(job_id)) > 1, form.limit(90), lambda: stack.logs())
    )
    stack.cancel(job_id)
    invariants.check(stack)


def test_workers_whose_clocks_are_off_change_nothing(
    stack: Stack, form: Form, report: Report
) -> None:
    row = report.row("workers' clocks five minutes off: no lease runs out")
    stack.keeper()
    clocks = [_clock(offset) for offset in OFFSETS]
    workers = [stack.worker(_env=clock) for clock in clocks]
    stack.ready(len(workers))
    # Longer than a lease, so that a lease by a worker's clock would run out or never would.
    long = [stack.submit(steps=int(form.seconds(90) / 0.1), seconds=0.1) for _ in workers]
    stack.submit(steps=3, seconds=0.01)
    until(stack.all_are(long, "finished"), form.seconds(90) * 3 + 30, lambda: stack.logs())
    for _ in workers:
        row.add()
    invariants.check(stack)
    for each in stack.submitted:
        assert len(stack.attempts_begun(each)) == 1
    # And the leases of workers with a wrong clock run out as any others.
    lost = [stack.submit(steps=10_000) for _ in workers]
    until(stack.all_are(lost, "preparing", "running"), 30, lambda: stack.logs())
    for worker in workers:
        worker.kill()
    began = time.monotonic()
    stack.crew(2)
    runs_out = report.row("workers' clocks five minutes off: second owner", form.limit(90))
    for each in lost:
        until(
            lambda each=each: any(line["attempt"] > 1 for line in stack.attempts_begun(each)),
            form.limit(90),
            lambda: stack.logs(),
        )
        runs_out.add(time.monotonic() - began)
        stack.cancel(each)
    invariants.check(stack)


def test_everything_drains_after_all_keepers_were_away(
    away: Away, form: Form, report: Report
) -> None:
    limit = form.limit(90)
    row = report.row("both keepers away 10 minutes: full drain after", limit)
    rest = form.seconds(600) - (time.monotonic() - away.since)
    threading.Event().wait(max(0.0, rest))  # the length of the fault, not a wait
    stack = away.stack
    assert not any(stack.attempts_begun(each) for each in away.waiting)  # nobody published a hint
    for keeper in away.keepers:
        keeper.start()
    row.add(stack.quiesce(limit))
    invariants.check(stack)


def _clock(offset: str) -> dict[str, str]:
    """The environment in which a process sees its wall clock shifted, and it alone."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        # Not a skip: a harness that left out a fault would say that all of them held.
        pytest.fail("install libfaketime (Debian: apt-get install faketime)")
    clock = {"LD_PRELOAD": str(found[0]), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    told = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env={**os.environ, **clock},
        capture_output=True,
        check=True,
        timeout=20,
    )
    assert abs(float(told.stdout) - time.time()) > 200, "the clock of a process can be put wrong"
    return clock
