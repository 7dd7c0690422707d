"""Keepers may die, be doubled, or be away; no clock but Postgres' decides anything."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.programs import until
from tests.faults.report import Report
from tests.faults.stack import Stack


def test_one_of_two_keepers_is_enough(stack: Stack, form: Form, report: Report) -> None:
    limit = form.limit(90)  # a lease has to run out first; the keeper itself may take 15 s
    row = report.row("two keepers, one killed: a dead worker's job runs again", limit)
    keepers = [stack.keeper(), stack.keeper()]
    workers = [stack.worker(), stack.worker()]
    stack.ready(2)
    job_id = stack.submit(steps=400)
    until(lambda: bool(stack.attempts_begun(job_id)), 30, lambda: stack.logs())
    owner = stack.owner_of(job_id)
    assert owner in workers
    keepers[0].kill()
    owner.kill()
    row.add(until(lambda: len(stack.attempts_begun(job_id)) > 1, limit, lambda: stack.logs()))
    stack.cancel(job_id)
    invariants.check(stack)


def test_everything_drains_after_all_keepers_were_away(
    stack: Stack, form: Form, report: Report
) -> None:
    limit = form.limit(90) * 2
    row = report.row("both keepers away 10 minutes: full drain after", limit)
    keepers = [stack.keeper(), stack.keeper()]
    stack.worker()
    stack.ready(1)
    for keeper in keepers:
        keeper.kill()
    ids = [stack.submit(steps=3, seconds=0.01) for _ in range(10)]
    threading.Event().wait(form.seconds(600) / (3 if form.scale > 1 else 1))  # the fault's length
    assert not any(stack.attempts_begun(each) for each in ids)  # nobody published a hint
    for keeper in keepers:
        keeper.start()
    row.add(stack.quiesce(limit))
    invariants.check(stack)


@pytest.mark.parametrize("offset", ["+5m", "-5m"])
def test_a_worker_whose_clock_is_off_changes_nothing(
    stack: Stack, form: Form, report: Report, offset: str
) -> None:
    library = _faketime()
    row = report.row(f"worker's clock off by {offset}", form.limit(90))
    stack.keeper()
    clock = {"LD_PRELOAD": str(library), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    told = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env={**os.environ, **clock},
        capture_output=True,
        check=True,
        timeout=20,
    )
    assert abs(float(told.stdout) - time.time()) > 200, "the clock of a process can be put wrong"
    worker = stack.worker(_env=clock)
    stack.ready(1)
    began = time.monotonic()
    # Longer than a lease, so that a lease by the worker's clock would run out or never would.
    long = stack.submit(steps=int(form.seconds(90) / 0.1), seconds=0.1)
    for _ in range(3):
        stack.submit(steps=3, seconds=0.01)
    until(stack.is_(long, "finished"), form.seconds(90) * 3 + 30, lambda: stack.logs())
    row.add(time.monotonic() - began)
    invariants.check(stack)
    for each in stack.submitted:
        assert len(stack.attempts_begun(each)) == 1
    # And a lease of a worker with a wrong clock runs out as any other.
    lost = stack.submit(steps=10_000)
    until(lambda: bool(stack.attempts_begun(lost)), 30, lambda: stack.logs())
    worker.kill()
    stack.worker()
    until(lambda: len(stack.attempts_begun(lost)) > 1, form.limit(90), lambda: stack.logs())
    stack.cancel(lost)
    invariants.check(stack)


def _faketime() -> Path:
    """libfaketime of the system (Debian: ``apt-get install faketime``)."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        pytest.skip("faketime is not installed (Debian: apt-get install faketime)")
    return found[0]
