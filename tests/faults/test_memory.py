"""A trainer that runs out of memory at every attempt."""

from __future__ import annotations

from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.report import Report
from tests.faults.stack import Stack
from tests.waiting import until


def test_a_job_that_never_fits_fails_after_three_crashes(
    stack: Stack, form: Form, report: Report
) -> None:
    limit = form.limit(90)
    row = report.row("trainer out of memory at every attempt", limit)
    stack.keeper()
    stack.crew(1)
    job_id = stack.submit(out_of_memory=True)
    row.add(until(stack.is_(job_id, "failed"), limit, lambda: stack.logs()))
    job = stack.job(job_id)
    assert (job.failure_code, job.crashes) == ("out_of_memory", 3)
    assert job.failure_message and job.failure_next_step
    assert len(stack.attempts_begun(job_id)) == 3
    invariants.check(stack)
