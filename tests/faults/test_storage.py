"""The artifact store refuses writes: it is said, the slot is freed, nothing is half published."""

from __future__ import annotations

from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.mounts import nothing_half_published, read_only
from tests.faults.report import Report
from tests.faults.stack import Stack
from tests.waiting import until


def test_a_store_that_refuses_writes_fails_the_job_and_frees_the_slot(
    stack: Stack, form: Form, report: Report
) -> None:
    limit = form.limit(90)
    row = report.row("artifact store refuses writes: failed with `storage` after 3 tries", limit)
    stack.keeper()
    [worker] = stack.crew(1)
    sign = stack.sign("finish")
    job_id = stack.submit(steps=10, seconds=0.01, finish=str(sign))
    until(stack.all_noted([job_id], "waits to finish"), 30, lambda: stack.logs())
    until(lambda: bool(stack.job(job_id).checkpoint), 30, lambda: stack.logs())
    with read_only(stack.home / "artifacts"):
        sign.touch()
        row.add(until(stack.is_(job_id, "failed", "finished"), limit, lambda: stack.logs()))
        job = stack.job(job_id)
        assert (job.failure_code, job.crashes) == ("storage", 3), stack.logs()
        assert "Read-only file system" in str(job.failure_message)
        assert "ACADEMY_ARTIFACTS" in str(job.failure_next_step)
        # The trained steps were not thrown away: each further try went on from the checkpoint.
        assert [line["first_step"] for line in stack.attempts_begun(job_id)] == [1, 11, 11]
        said = "storage" in worker.log.read_text() or "did not take" in worker.log.read_text()
        assert said, stack.logs()
    nothing_half_published(stack)
    # The slot is free, and the store takes results again.
    after = stack.submit(steps=3, seconds=0.01)
    until(stack.is_(after, "finished"), 30, lambda: stack.logs())
    invariants.check(stack)


def test_a_store_that_takes_writes_again_in_time_gets_the_result(
    stack: Stack, form: Form, report: Report
) -> None:
    limit = form.limit(90)
    row = report.row("artifact store refuses one write: finished by the next try", limit)
    stack.keeper()
    stack.crew(1)
    sign = stack.sign("finish")
    job_id = stack.submit(steps=10, seconds=0.01, finish=str(sign))
    until(stack.all_noted([job_id], "waits to finish"), 30, lambda: stack.logs())
    with read_only(stack.home / "artifacts"):
        sign.touch()
        until(lambda: stack.job(job_id).crashes == 1, 30, lambda: stack.logs())
    row.add(until(stack.is_(job_id, "finished"), limit, lambda: stack.logs()))
    nothing_half_published(stack)
    invariants.check(stack)
