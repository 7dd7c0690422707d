"""What changes is written down once, and read in an order that leaves nothing out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from academy.lifecycle import FailureCode
from academy.store.changes import changes
from academy.store.data import datasets
from academy.store.engine import Sessions
from academy.store.jobs import transitions, workers
from academy.store.jobs.transitions import Claim, Failure
from academy.store.models import adapters
from academy.store.models.tables import Adapter
from tests.waiting import until

DAY = 86400.0


def read(sessions: Sessions, position: tuple[int, int] = changes.BEGINNING) -> list[Any]:
    with sessions() as session:
        return changes.after(session, *position, 1000)


def everything(sessions: Sessions) -> list[Any]:
    """All changes, once nobody writes: PostgreSQL's own statistics are written now and then."""
    nobody = text("SELECT pg_snapshot_xmin(s) = pg_snapshot_xmax(s) FROM pg_current_snapshot() s")

    def is_quiet() -> bool:
        with sessions() as session:
            return bool(session.scalar(nobody))

    until(is_quiet, 60, "nobody writes")
    return read(sessions)


def told(sessions: Sessions) -> list[tuple[str, str]]:
    return [(each.type, each.subject) for each in everything(sessions)]


def claimed(sessions: Sessions) -> Claim:
    with sessions.begin() as session:
        job = transitions.claim(session, "gpu", "w", 60)
    assert job is not None
    return Claim(job.id, job.fence, job.attempt, "w")


def adapter(name: str, job_id: str | None = None) -> Adapter:
    made = {"digest": f"sha256:{name}", "key": f"adapters/{name}", "base_model": "tiny"}
    return Adapter(id=name, job_id=job_id, parameters={}, metrics={}, code_version="1", **made)


def test_each_transition_of_a_job_is_told_with_what_a_client_wants_to_know(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    job_id = submit(role="coder", created_by="ci", dataset_id="d", base_model="tiny")
    held = claimed(sessions)
    with sessions.begin() as session:
        transitions.start(session, held)
    with sessions.begin() as session:
        transitions.finish(session, held, {"adapter_id": job_id})
        adapters.register(session, adapter(job_id, job_id))
    assert told(sessions) == [
        ("job.queued", job_id),
        ("job.preparing", job_id),
        ("job.running", job_id),
        ("job.succeeded", job_id),
        ("adapter.created", job_id),
    ]
    of_job = read(sessions)[3]
    assert of_job.data == {
        "kind": "training",
        "status": "finished",
        "from_status": "running",
        "reason": "completed",
        "attempt": 1,
        "worker_id": "w",
        "role": "coder",
        "created_by": "ci",
        "base_model": "tiny",
        "dataset_id": "d",
        "adapter_id": job_id,
    }
    assert of_job.cursor == f"{of_job.xid}-{of_job.id}"


def test_a_failure_a_cancel_and_a_pause_are_told(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    failed = submit()
    held = claimed(sessions)
    with sessions.begin() as session:
        failure = Failure(FailureCode.DIVERGED, "NaN", "Lower the rate.")
        transitions.fail_or_retry(session, held, failure, max_crashes=3, retry_seconds=0)
    other = submit()
    with sessions.begin() as session:
        transitions.request_pause(session, other)
    with sessions.begin() as session:
        transitions.request_cancel(session, other)
    assert told(sessions)[2:] == [
        ("job.failed", failed),
        ("job.queued", other),
        ("job.paused", other),
        ("job.cancelled", other),
    ]
    assert read(sessions)[2].data["failure_code"] == "diverged"


def test_what_is_rolled_back_is_not_told(sessions: Sessions, submit: Callable[..., str]) -> None:
    job_id = submit()
    session = sessions()
    transitions.request_cancel(session, job_id)
    session.rollback()
    session.close()
    assert told(sessions) == [("job.queued", job_id)]


def test_adapters_aliases_and_datasets_that_come_move_and_go_are_told(sessions: Sessions) -> None:
    made: dict[str, Any] = {
        "id": "d",
        "digest": "sha256:d",
        "key": "datasets/d",
        "format": "alpaca",
        "train_rows": 7,
        "heldout_rows": 1,
        "statistics": {},
        "request": {},
    }
    for _ in range(2):  # the second one is the same dataset and no news
        with sessions.begin() as session:
            datasets.register(session, **made)
    with sessions.begin() as session:
        adapters.register(session, adapter("a"))
    with sessions.begin() as session:
        adapters.move_alias(
            session, "default", "a", expected_generation=0, moved_by="ci", reason="better"
        )
    with sessions.begin() as session:
        adapters.register(session, adapter("b"))
    with sessions.begin() as session:
        adapters.delete(session, "b")
    with sessions.begin() as session:
        datasets.delete(session, "d")
    assert told(sessions) == [
        ("dataset.created", "d"),
        ("adapter.created", "a"),
        ("alias.moved", "default"),
        ("adapter.created", "b"),
        ("adapter.deleted", "b"),
        ("dataset.deleted", "d"),
    ]
    dataset, _, moved, *_ = read(sessions)
    assert dataset.data == {
        "digest": "sha256:d",
        "format": "alpaca",
        "train_rows": 7,
        "heldout_rows": 1,
    }
    assert moved.data == {
        "generation": 1,
        "to_adapter_id": "a",
        "moved_by": "ci",
        "reason": "better",
    }


def test_a_workers_coming_and_going_is_told_and_its_heart_beats_are_not(
    sessions: Sessions,
) -> None:
    facts: dict[str, Any] = {"queue": "gpu", "host": "h", "pid": 1, "versions": {}, "gpus": []}

    def do(what: Callable[..., Any], *given: Any, **more: Any) -> Any:
        with sessions.begin() as session:
            return what(session, *given, **more)

    for _ in range(3):
        do(workers.seen, "w", **facts)
    assert do(workers.note_lost, silent_seconds=60) == []
    assert do(workers.note_lost, silent_seconds=-60) == ["w"]
    assert do(workers.note_lost, silent_seconds=-60) == []
    do(workers.seen, "w", **facts)
    for _ in range(2):
        do(workers.request_drain, "w")
    do(workers.stopped, "w")
    assert do(workers.note_lost, silent_seconds=-60) == []
    do(workers.seen, "w", **facts)
    assert [name for name, _ in told(sessions)] == [
        "worker.joined",
        "worker.lost",
        "worker.returned",
        "worker.draining",
        "worker.stopped",
        "worker.joined",
    ]
    assert read(sessions)[3].data["draining"] is True


def test_no_row_appears_behind_a_reader_however_transactions_overlap(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    """The first to begin commits last: what came meanwhile waits for it."""
    early, late = submit(), submit()
    [*_, last] = everything(sessions)
    first, second = sessions(), sessions()
    transitions.request_cancel(first, early)
    transitions.request_cancel(second, late)
    second.commit()
    assert read(sessions, (last.xid, last.id)) == []
    with sessions() as session:
        assert changes.newest(session) == (last.xid, last.id)
    first.commit()
    everything(sessions)
    news = read(sessions, (last.xid, last.id))
    assert [each.subject for each in news] == [early, late]
    with sessions() as session:
        assert changes.newest(session) == (news[-1].xid, news[-1].id)
    first.close()
    second.close()


def test_readers_beside_many_writers_get_each_row_once_and_in_one_order(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    writers, each_writes = 4, 40
    done = threading.Event()
    found: list[list[str]] = [[], []]

    def follow(mine: list[str]) -> None:
        position = changes.BEGINNING
        while True:
            over = done.is_set()  # asked first: what is read afterwards is all there is
            with sessions() as session:
                news = changes.after(session, *position, 7)
            mine += [row.cursor for row in news]
            if news:
                position = (news[-1].xid, news[-1].id)
            elif over:
                return

    def write() -> None:
        for _ in range(each_writes):
            job_id = submit()
            with sessions.begin() as session:
                transitions.request_cancel(session, job_id)

    readers = [threading.Thread(target=follow, args=[mine]) for mine in found]
    threads = [threading.Thread(target=write) for _ in range(writers)]
    for thread in readers + threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    complete = [row.cursor for row in everything(sessions)]
    done.set()
    for thread in readers:
        thread.join(timeout=120)
    assert len(complete) == writers * each_writes * 2
    assert found == [complete, complete]


@pytest.fixture
def age(database_url: str) -> Callable[[int, float], None]:
    """Makes the first so many changes older by some days."""

    def age(count: int, days: float) -> None:
        with psycopg.connect(database_url, connect_timeout=10) as connection:
            connection.execute(
                "UPDATE changes SET at = at - %s * interval '1 day' WHERE (xid, id) IN"
                " (SELECT xid, id FROM changes ORDER BY xid, id LIMIT %s)",
                (days, count),
            )

    return age


def test_what_is_old_is_removed_from_the_beginning_and_it_is_known_up_to_where(
    sessions: Sessions, submit: Callable[..., str], age: Callable[[int, float], None]
) -> None:
    for _ in range(5):
        submit()
    rows = everything(sessions)
    age(3, 8)

    def remove(most: int) -> int:
        with sessions.begin() as session:
            return changes.remove(session, older_than_seconds=7 * DAY, most=most)

    with sessions() as session:
        assert changes.oldest(session) == changes.BEGINNING
    everything(sessions)
    assert [remove(2), remove(2), remove(2)] == [2, 1, 0]
    assert [row.cursor for row in everything(sessions)] == [row.cursor for row in rows[3:]]
    with sessions() as session:
        assert changes.oldest(session) == (rows[2].xid, rows[2].id)


def test_two_keepers_remove_in_turn(
    sessions: Sessions, submit: Callable[..., str], age: Callable[[int, float], None]
) -> None:
    submit()
    age(1, 8)
    everything(sessions)
    with sessions.begin() as one, sessions.begin() as other:
        assert changes.remove(one, older_than_seconds=7 * DAY, most=10) == 1
        assert changes.remove(other, older_than_seconds=7 * DAY, most=10) == 0
