"""A due time that submits nothing says why: the last job goes on, or there is nothing new."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from academy.lifecycle import Status
from academy.schedules.firing import fire_due
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.transitions import Claim, Failure, FailureCode
from academy.store.plans.schedule_tables import Schedule

Keep = Callable[..., None]
Show = Callable[[str], Schedule]
ComeDue = Callable[[str], None]
MakeDataset = Callable[[str], None]

CHECK: dict[str, Any] = {"kind": "training", "request": {}, "only_if_new": True}


def skip_of(row: Schedule) -> tuple[str, str]:
    assert row.last_outcome == "skipped" and row.last_skip is not None
    return row.last_skip["code"], row.last_skip["message"]


def end(sessions: Sessions, job_id: str | None, status: Status) -> None:
    """Bring a queued job to a terminal state, as a client or a worker does."""
    with sessions.begin() as session:
        if status is Status.CANCELLED:
            transitions.request_cancel(session, str(job_id))
            return
        job = transitions.claim(session, "gpu", "worker", 60)
        assert job is not None and job.id == job_id
        held = Claim(job.id, job.fence, job.attempt, "worker")
        if status is Status.FINISHED:
            transitions.finish(session, held, {})
        else:
            failure = Failure(FailureCode.DIVERGED, "The loss became NaN.", "Lower the rate.")
            transitions.fail_or_retry(session, held, failure, max_crashes=1, retry_seconds=0)


def test_a_time_is_skipped_while_the_last_job_is_not_over(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show, come_due: ComeDue
) -> None:
    keep("nightly", overlap="skip")
    assert fire_due(sessions, settings) == 1
    first = show("nightly").last_job_id
    come_due("nightly")
    assert fire_due(sessions, settings) == 0
    row = show("nightly")
    assert skip_of(row) == ("overlap", f"The schedule's last job {first} is not over.")
    assert (row.submitted, row.skipped, row.last_job_id) == (1, 1, first)
    assert row.next_at > row.last_at

    end(sessions, first, Status.CANCELLED)
    come_due("nightly")
    assert fire_due(sessions, settings) == 1
    row = show("nightly")
    assert (row.submitted, row.skipped, row.last_skip) == (2, 1, None)
    assert row.last_job_id != first


def test_a_schedule_that_allows_overlap_submits_beside_its_last_job(
    settings: Settings, sessions: Sessions, keep: Keep, come_due: ComeDue
) -> None:
    keep("nightly")
    assert fire_due(sessions, settings) == 1
    come_due("nightly")
    assert fire_due(sessions, settings) == 1


def test_a_last_job_that_was_deleted_is_over(
    settings: Settings,
    sessions: Sessions,
    keep: Keep,
    come_due: ComeDue,
    database_url: str,
) -> None:
    keep("nightly", overlap="skip")
    assert fire_due(sessions, settings) == 1
    with psycopg.connect(database_url, connect_timeout=10) as connection:
        connection.execute("DELETE FROM jobs")
    come_due("nightly")
    assert fire_due(sessions, settings) == 1


def test_many_keepers_skip_a_time_once(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show, come_due: ComeDue
) -> None:
    keep("nightly", overlap="skip")
    assert fire_due(sessions, settings) == 1
    come_due("nightly")
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: fire_due(sessions, settings), range(16)))
    assert sum(counts) == 0 and show("nightly").skipped == 1


def test_a_dataset_is_trained_on_once_and_a_new_one_again(
    settings: Settings,
    sessions: Sessions,
    keep: Keep,
    show: Show,
    come_due: ComeDue,
    make_dataset: MakeDataset,
) -> None:
    make_dataset("one")
    keep("check", **CHECK)
    assert fire_due(sessions, settings) == 1
    first = show("check").last_job_id
    come_due("check")
    assert fire_due(sessions, settings) == 0, "one that waits will train on it"
    end(sessions, first, Status.FINISHED)
    come_due("check")
    assert fire_due(sessions, settings) == 0
    row = show("check")
    wanted = f"The training {first} of the dataset dataset_one is finished already."
    assert skip_of(row) == ("nothing_new", wanted)
    assert (row.submitted, row.skipped, row.refused) == (1, 2, 0)

    make_dataset("one")  # a curation that found nothing new: the same digest, the same dataset
    come_due("check")
    assert fire_due(sessions, settings) == 0
    make_dataset("two")
    come_due("check")
    assert fire_due(sessions, settings) == 1
    with sessions() as session:
        assert jobs.get(session, str(show("check").last_job_id)).dataset_id == "dataset_two"


@pytest.mark.parametrize("ended", [Status.FAILED, Status.CANCELLED])
def test_a_training_that_came_to_nothing_leaves_its_dataset_new(
    ended: Status,
    settings: Settings,
    sessions: Sessions,
    keep: Keep,
    show: Show,
    come_due: ComeDue,
    make_dataset: MakeDataset,
) -> None:
    make_dataset("one")
    keep("check", **CHECK)
    assert fire_due(sessions, settings) == 1
    end(sessions, show("check").last_job_id, ended)
    come_due("check")
    assert fire_due(sessions, settings) == 1


def test_each_role_trains_on_a_dataset_for_itself(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show, make_dataset: MakeDataset
) -> None:
    make_dataset("one")
    keep("coder", **CHECK | {"request": {"role": "coder", "dataset_id": "dataset_one"}})
    keep("writer", **CHECK | {"request": {"role": "writer"}})
    keep("any", **CHECK)
    assert fire_due(sessions, settings) == 3


def test_checks_that_are_due_together_submit_one_training(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show, make_dataset: MakeDataset
) -> None:
    make_dataset("one")
    names = [f"check-{number}" for number in range(12)]
    for name in names:
        keep(name, **CHECK)
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda _: fire_due(sessions, settings), range(8)))
    assert sum(counts) == 1
    assert sum(show(name).skipped for name in names) == len(names) - 1


def test_a_check_without_any_dataset_is_refused_like_its_submission(
    settings: Settings, sessions: Sessions, keep: Keep, show: Show
) -> None:
    keep("check", **CHECK)
    assert fire_due(sessions, settings) == 0
    row = show("check")
    assert (row.last_outcome, row.refused, row.last_skip) == ("refused", 1, None)
    assert "no dataset" in str(row.last_refusal)
