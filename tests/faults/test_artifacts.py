"""Killed while a checkpoint is written, while a result is uploaded, and before it is recorded."""

from __future__ import annotations

import signal

from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.programs import until
from tests.faults.report import Report
from tests.faults.stack import Stack


def test_a_half_written_checkpoint_is_never_resumed_from(
    stack: Stack, form: Form, report: Report
) -> None:
    row = report.row("killed in the middle of a checkpoint: trained to the end", form.limit(90))
    stack.keeper()
    stack.worker()
    stack.ready(1)
    for _ in range(form.rounds(10)):
        job_id = stack.submit(steps=15, seconds=0.01, die_in_checkpoint=10, only_attempt=1)
        row.add(until(stack.is_(job_id, "finished"), form.limit(90), lambda: stack.logs()))
        assert [line["first_step"] for line in stack.attempts_begun(job_id)] == [1, 6]
    invariants.check(stack)


def test_a_worker_killed_in_the_middle_of_an_upload_publishes_nothing_half(
    stack: Stack, form: Form, report: Report
) -> None:
    row = report.row("killed in the middle of an upload: finished by another", form.limit(90))
    stack.keeper()
    workers = [stack.worker() for _ in range(2)]
    stack.ready(2)
    adapters = stack.home / "artifacts" / "adapters"
    caught = 0
    for _ in range(form.rounds(10) // 2 or 1):
        job_id = stack.submit(steps=10, seconds=0.01, adapter_files=400)
        until(lambda job_id=job_id: bool(stack.attempts_begun(job_id)), 30, lambda: stack.logs())
        owner = stack.owner_of(job_id)
        # A folder with a leading dot is an upload under way.
        before = set(adapters.glob(".*"))
        until(
            lambda job_id=job_id, before=before: (
                bool(set(adapters.glob(".*")) - before) or stack.is_(job_id, "finished")()
            ),
            60,
            lambda: stack.logs(),
            poll=0.0005,
        )
        if owner is not None:
            owner.kill()
        caught += bool(set(adapters.glob(".*")) - before)
        row.add(until(stack.is_(job_id, "finished"), form.limit(90), lambda: stack.logs()))
        for worker in workers:
            worker.start()
    row.facts["caught_in_the_middle"] = caught
    assert caught, "no kill met an upload"
    invariants.check(stack)


def test_a_result_that_was_uploaded_but_not_recorded_is_adopted(
    stack: Stack, form: Form, report: Report
) -> None:
    row = report.row("killed between upload and finish: adopted", form.limit(90))
    stack.keeper()
    workers = [stack.worker() for _ in range(2)]
    stack.ready(2)
    for _ in range(form.rounds(10) // 2 or 1):
        job_id = stack.submit(steps=10, seconds=0.05, every=1000)
        until(lambda job_id=job_id: bool(stack.attempts_begun(job_id)), 30, lambda: stack.logs())
        until(stack.is_(job_id, "running"), 30, lambda: stack.logs())
        owner = stack.owner_of(job_id)
        assert owner is not None, stack.logs()
        note = stack.home / "artifacts" / "results" / f"{job_id}.json"
        # While the harness holds the row, the worker can upload and not finish.
        with stack.sql() as holder, holder.transaction():
            holder.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", (job_id,))
            until(note.exists, 30, lambda: stack.logs())
            owner.send(signal.SIGKILL)
        owner.kill()
        row.add(until(stack.is_(job_id, "finished"), form.limit(90), lambda: stack.logs()))
        assert len(stack.attempts_begun(job_id)) == 1, "it was trained again"
        assert stack.job(job_id).attempt == 2
        for worker in workers:
            worker.start()
    invariants.check(stack)
