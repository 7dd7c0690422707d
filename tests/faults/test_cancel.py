"""A cancel ends a job in whatever state it meets it, and leaves no process."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pytest

from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.lanes import side_by_side
from tests.faults.programs import Program
from tests.faults.report import Report, Row
from tests.faults.stack import Stack
from tests.waiting import until

#: Workers, and the jobs that are cancelled at the same time.
CREW = 10
WITH_VALKEY = pytest.mark.parametrize("valkey", ["Valkey up", "Valkey down"])


@pytest.fixture(scope="module")
def stack(open_stack: Callable[..., Stack]) -> Iterator[Stack]:
    made = open_stack()
    made.keeper()
    made.crew(CREW)
    yield made
    made.close()


@pytest.fixture
def workers(stack: Stack) -> list[Program]:
    return [each.start() for each in stack.programs if each.name == "worker"]


@WITH_VALKEY
def test_while_queued(
    stack: Stack, workers: list[Program], form: Form, report: Report, valkey: str
) -> None:
    @contextlib.contextmanager
    def queued() -> Iterator[Met]:
        with _standing(workers):
            yield Met([stack.submit() for _ in range(CREW)])

    row = report.row(_named("while queued", valkey), form.limit(1))
    ids = _rounds(stack, row, form, valkey, queued)
    assert not any(stack.attempts_begun(each) for each in ids)


@WITH_VALKEY
def test_while_it_is_claimed(
    stack: Stack, workers: list[Program], form: Form, report: Report, valkey: str
) -> None:
    """Every worker is in the middle of its claim, and all of them go on as the cancels come."""

    @contextlib.contextmanager
    def claimed() -> Iterator[Met]:
        with _standing(workers):
            ids = [stack.submit(steps=10_000) for _ in range(CREW)]
            stack.hint(CREW)
            holder = stack.sql()
            holder.autocommit = False
            # Claims wait for the table, so that nobody is past them yet.
            holder.execute("LOCK TABLE jobs IN SHARE MODE")
        with holder:
            _until_waiting(stack, CREW)
            yield Met(ids, then=holder.commit)

    row = report.row(_named("while claiming", valkey), form.limit(30))
    for each in _rounds(stack, row, form, valkey, claimed, spread_seconds=0.1):
        row.count(f"found {_found_by_the_cancel(stack, each)}")


@WITH_VALKEY
def test_while_running(
    stack: Stack, workers: list[Program], form: Form, report: Report, valkey: str
) -> None:
    @contextlib.contextmanager
    def running() -> Iterator[Met]:
        yield Met(_all_run(stack))

    row = report.row(_named("while running", valkey), form.limit(30))
    _rounds(stack, row, form, valkey, running)


@WITH_VALKEY
def test_while_it_finishes(
    stack: Stack, workers: list[Program], form: Form, report: Report, valkey: str
) -> None:
    """Half of the cancels come just before the result is recorded, half just after."""
    row = report.row(_named("while finishing", valkey), form.limit(30))
    for number in _batches(form):
        sign = stack.sign(f"finish-{valkey}-{number}")
        ids = [stack.submit(steps=3, finish=str(sign)) for _ in range(CREW)]
        until(stack.all_noted(ids, "waits to finish"), 60, lambda: stack.logs())
        until(stack.all_are(ids, "running"), 30, lambda: stack.logs())
        early, late = ids[: CREW // 2], ids[CREW // 2 :]
        notes = [stack.home / "artifacts" / "results" / f"{each}.json" for each in ids]
        with _valkey(stack, valkey), stack.sql() as holder:
            # Both the cancel and the finish wait for the row, in the order of their coming.
            with holder.transaction():
                holder.execute("SELECT 1 FROM jobs WHERE id = ANY(%s) FOR UPDATE", (ids,))
                first = threading.Thread(target=_cancel, args=(stack, row, early, form.limit(30)))
                first.start()
                _until_waiting(stack, len(early))
                sign.touch()
                until(lambda notes=notes: all(each.exists() for each in notes), 30, "uploaded")
                _until_waiting(stack, len(ids) + len(early))
                second = threading.Thread(target=_cancel, args=(stack, row, late, form.limit(30)))
                second.start()
                _until_waiting(stack, 2 * len(ids))
            for each in (first, second):
                each.join()
    invariants.check(stack)
    for each in ids:
        row.count(str(stack.job(each).status))


def test_at_a_random_moment(
    stack: Stack, workers: list[Program], form: Form, report: Report
) -> None:
    limit = form.limit(30)
    row = report.row("cancel at a random moment from the claim to the finish", limit)

    def one(number: int) -> None:
        job_id = stack.submit(steps=3, seconds=0.01)
        if number % 2:
            until(lambda: not stack.is_(job_id, "queued")(), limit, "it is claimed")
        else:
            until(lambda: bool(stack.attempts_begun(job_id)), limit, "it is trained")
        _cancel(stack, row, [job_id], limit, spread_seconds=0.2)

    for _ in range(2 * len(_batches(form))):
        side_by_side(one, range(CREW))
    invariants.check(stack)


@WITH_VALKEY
def test_on_a_dead_host(
    stack: Stack, workers: list[Program], form: Form, report: Report, valkey: str
) -> None:
    @contextlib.contextmanager
    def dying() -> Iterator[Met]:
        for worker in workers:
            worker.start()

        def die() -> None:
            for worker in workers:
                worker.kill_at_once()

        yield Met(_all_run(stack), then=die)
        for worker in workers:
            worker.kill()

    row = report.row(_named("on a dead host", valkey), form.limit(80))
    _rounds(stack, row, form, valkey, dying)


@dataclass(frozen=True)
class Met:
    """Jobs where the cancels shall meet them; `then` lets go of them as the cancels come."""

    ids: list[str]
    then: Callable[[], object] = lambda: None


def _rounds(
    stack: Stack,
    row: Row,
    form: Form,
    valkey: str,
    moment: Callable[[], contextlib.AbstractContextManager[Met]],
    spread_seconds: float = 0.0,
) -> list[str]:
    """Cancel the jobs of one `moment` after another, and give the ids of all of them."""
    assert row.limit_seconds is not None
    ids: list[str] = []
    for _ in _batches(form):
        with moment() as met, _valkey(stack, valkey):
            met.then()
            _cancel(stack, row, met.ids, row.limit_seconds, spread_seconds)
        ids += met.ids
    invariants.check(stack)
    return ids


def _named(state: str, valkey: str) -> str:
    return f"cancel {state}{', Valkey down' if valkey == 'Valkey down' else ''}"


def _batches(form: Form) -> range:
    """Each of them cancels one job a worker."""
    return range(max(1, form.rounds(10) // CREW))


def _all_run(stack: Stack) -> list[str]:
    ids = [stack.submit(steps=100_000) for _ in range(CREW)]
    until(stack.all_are(ids, "running"), 90, lambda: f"{stack.not_over()}\n{stack.logs()}")
    return ids


def _cancel(
    stack: Stack, row: Row, ids: list[str], limit: float, spread_seconds: float = 0.0
) -> None:
    """Cancel every one and wait until it is over; each cancel comes within the spread."""

    def one(job_id: str) -> None:
        threading.Event().wait(random.uniform(0, spread_seconds))  # the moment of the fault
        began = time.monotonic()
        stack.cancel(job_id)
        until(stack.is_(job_id, "cancelled", "finished"), limit, lambda: stack.logs())
        row.add(time.monotonic() - began)

    side_by_side(one, ids)


@contextlib.contextmanager
def _standing(workers: list[Program]) -> Iterator[None]:
    """No worker takes a hint meanwhile."""
    for worker in workers:
        worker.freeze()
    try:
        yield
    finally:
        for worker in workers:
            worker.thaw()


@contextlib.contextmanager
def _valkey(stack: Stack, how: str) -> Iterator[None]:
    """Valkey as the test wants it."""
    if how == "Valkey down":
        stack.valkey.stop()
    try:
        yield
    finally:
        if how == "Valkey down":
            stack.valkey.start()


def _until_waiting(stack: Stack, statements: int) -> None:
    """Until so many statements of this database wait for a lock."""
    query = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """

    def waiting(connection: psycopg.Connection[tuple[int]]) -> bool:
        row = connection.execute(query).fetchone()
        return row is not None and row[0] >= statements

    with stack.sql() as connection:
        until(lambda: waiting(connection), 10, lambda: f"locks are waited for\n{stack.logs()}")


def _found_by_the_cancel(stack: Stack, job_id: str) -> str:
    with stack.sql() as connection:
        row = connection.execute(
            "SELECT from_status FROM job_transitions WHERE job_id = %s"
            " AND reason = 'cancel_requested'",
            (job_id,),
        ).fetchone()
    return str(row[0]) if row else "over"
