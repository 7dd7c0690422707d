"""Killed while a checkpoint is written, while a result is uploaded, and before it is recorded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.lanes import side_by_side
from tests.faults.programs import Program
from tests.faults.report import Report, Row
from tests.faults.stack import Stack
from tests.waiting import until

WORKERS = 5


@pytest.fixture(scope="module")
def stack(open_stack: Callable[..., Stack]) -> Iterator[Stack]:
    made = open_stack()
    made.keeper()
    made.crew(WORKERS)
    yield made
    made.close()


def test_a_half_written_checkpoint_is_never_resumed_from(
    stack: Stack, form: Form, report: Report
) -> None:
    row = report.row("killed in the middle of a checkpoint: running again", form.limit(90))

    def one(_: int) -> None:
        job_id = stack.submit(steps=15, seconds=0.01, die_in_checkpoint=10, only_attempt=1)
        until(lambda: len(stack.attempts_begun(job_id)) > 0, 60, lambda: stack.logs())
        row.add(_begun_again(stack, job_id, form))
        until(stack.is_(job_id, "finished"), 60, lambda: stack.logs())
        assert [line["first_step"] for line in stack.attempts_begun(job_id)] == [1, 6]

    for start in range(0, form.rounds(10), WORKERS):
        side_by_side(one, range(start, min(start + WORKERS, form.rounds(10))))
    invariants.check(stack)


def test_a_worker_killed_in_the_middle_of_an_upload_publishes_nothing_half(
    stack: Stack, form: Form, report: Report
) -> None:
    row = report.row("killed in the middle of an upload: running again", form.limit(90))
    lanes = 2  # a lane looks for its moment without a pause, so there are no more than cores

    def lane(number: int) -> None:
        for _ in range(number, form.rounds(10), lanes):
            for _ in range(5):
                if _killed_in_upload(stack, form, row):
                    break
            else:
                pytest.fail(f"no kill in five met an upload\n{stack.logs()}")

    side_by_side(lane, range(lanes))
    invariants.check(stack)
    adapters = stack.store.local_root
    assert adapters is not None
    for published in (adapters / "adapters").glob("[!.]*"):
        assert (published / "manifest.json").exists(), f"{published} is half published"


def _killed_in_upload(stack: Stack, form: Form, row: Row) -> bool:
    """Kill the owner of a new job while its adapter is being uploaded; False if it came too late.

    The upload goes into a folder with a leading dot, which is renamed when it is whole.
    """
    sign = stack.sign(f"upload-{time.monotonic_ns()}")
    job_id = stack.submit(steps=10, seconds=0.01, adapter_files=400, finish=str(sign))
    until(stack.all_noted([job_id], "waits to finish"), 60, lambda: stack.logs())
    owner = owner_of(stack, job_id)
    sign.touch()
    until(stack.all_noted([job_id], "result"), 60, lambda: stack.logs(), poll=0.002)
    digest = next(line["digest"] for line in stack.ledger(job_id) if line["event"] == "result")
    name = digest.removeprefix("sha256:")
    adapters = stack.home / "artifacts" / "adapters"

    def uploads() -> bool:
        names = os.listdir(adapters) if adapters.exists() else []
        return name in names or any(each.startswith(f".{name}") for each in names)

    until(uploads, 60, lambda: stack.logs(), poll=0.0005)
    owner.freeze()
    if (adapters / name).exists():
        owner.thaw()
        until(stack.is_(job_id, "finished"), form.limit(90), lambda: stack.logs())
        return False
    owner.kill()
    owner.start()
    row.add(_begun_again(stack, job_id, form))
    until(stack.is_(job_id, "finished"), 60, lambda: stack.logs())
    return True


def _begun_again(stack: Stack, job_id: str, form: Form) -> float:
    """Wait until a second trainer has begun; the seconds it took."""
    return until(
        lambda: len(stack.attempts_begun(job_id)) > 1, form.limit(90), lambda: stack.logs()
    )


def test_a_result_that_was_uploaded_but_not_recorded_is_adopted(
    stack: Stack, form: Form, report: Report
) -> None:
    row = report.row("killed between upload and finish: adopted", form.limit(90))
    for start in range(0, form.rounds(10), WORKERS):
        _kill_before_the_finish(stack, form, row, f"finish-{start}")
    invariants.check(stack)


def _kill_before_the_finish(stack: Stack, form: Form, row: Row, name: str) -> None:
    """Kill every worker when its job's result is in the store and not in the table."""
    sign = stack.sign(name)
    ids = [stack.submit(steps=10, seconds=0.01, finish=str(sign)) for _ in range(WORKERS)]
    until(stack.all_noted(ids, "waits to finish"), 60, lambda: stack.logs())
    until(stack.all_are(ids, "running"), 30, lambda: stack.logs())
    owners = [owner_of(stack, each) for each in ids]
    notes = [stack.home / "artifacts" / "results" / f"{each}.json" for each in ids]
    # While the harness holds the rows, the workers can upload and not finish.
    with stack.sql() as holder, holder.transaction():
        holder.execute("SELECT 1 FROM jobs WHERE id = ANY(%s) ORDER BY id FOR UPDATE", (ids,))
        sign.touch()
        until(lambda: all(note.exists() for note in notes), 30, lambda: stack.logs())
        for owner in owners:
            owner.kill_at_once()
    for owner in owners:
        owner.kill()
        owner.start()

    def adopted(job_id: str) -> None:
        row.add(until(stack.is_(job_id, "finished"), form.limit(90), lambda: stack.logs()))
        assert len(stack.attempts_begun(job_id)) == 1, "it was trained again"
        assert stack.job(job_id).attempt == 2

    side_by_side(adopted, ids)


def owner_of(stack: Stack, job_id: str) -> Program:
    """The worker that holds the job, which one does."""
    owner = stack.owner_of(job_id)
    assert owner is not None, f"{job_id} has no owner\n{stack.logs()}"
    return owner
