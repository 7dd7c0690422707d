"""What a curation job reads from PostgreSQL, also when PostgreSQL goes away under it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from academy.artifacts.store import ArtifactStore
from academy.curation.errors import SourceAway
from academy.curation.request import CurationRequest
from academy.curation.store_sources import stored_lessons
from academy.curation.supervisor import curate_job
from academy.jobs.attempt import Attempt
from academy.lifecycle import RETRIED, FailureCode, Status
from academy.settings import Settings
from academy.store.data import datasets, lessons, runs
from academy.store.engine import Session, Sessions
from academy.store.jobs import transitions
from academy.store.jobs.tables import Job

NO_GIT = CurationRequest(repositories=(), lessons_limit=1_000_000)


def record_lessons(sessions: Sessions, sentence: Callable[..., str], numbers: range) -> None:
    rows = [
        {
            "id": f"l{number:05}",
            "situation": f"What to do about {sentence(number)}?",
            "solution": f"Apply {sentence(number + 100_000)}.",
            "tags": [],
        }
        for number in numbers
    ]
    with sessions.begin() as session:
        lessons.add_lessons(session, rows)


def rows_of(settings: Settings, sessions: Sessions, job: Job, name: str) -> list[dict[str, Any]]:
    assert job.result is not None, (job.failure_code, job.failure_message)
    with sessions() as session:
        dataset = datasets.get(session, job.result["dataset_id"])
    folder = ArtifactStore(settings).fetch(dataset.key, dataset.digest)
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def run_row(id: str, prompt: str, answer: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    row = {"id": id, "messages": messages, "reward": None, "signals": {}, "source": None}
    return {**row, "task_id": None, **more}


def test_recorded_runs_become_rows_and_pairs(
    carry: Callable[..., Job],
    settings: Settings,
    sessions: Sessions,
    sentence: Callable[..., str],
) -> None:
    passed = {"tests_present": True, "tests_passed": True}
    recorded = [
        run_row("good", sentence(1), sentence(10), reward=0.9, signals=passed),
        run_row("poor", sentence(1), sentence(11), reward=0.1, signals=passed),
        run_row("untested", sentence(2), sentence(12), reward=0.9),
        run_row("failing", sentence(2), sentence(13), signals={"tests_passed": False}),
        run_row("unscored", sentence(3), sentence(14)),
    ]
    with sessions.begin() as session:
        runs.add_runs(session, recorded)
    rows = carry(curate_job, NO_GIT.model_copy(update={"include_runs": True}))
    assert [each["id"] for each in rows_of(settings, sessions, rows, "train.jsonl")] == ["run:good"]
    pairs = carry(curate_job, CurationRequest(format="preference"))
    (pair,) = rows_of(settings, sessions, pairs, "train.jsonl")
    assert (pair["chosen"], pair["rejected"]) == (sentence(10), sentence(11))
    assert pairs.result is not None
    told = pairs.result["statistics"]
    assert told["filters"] == {"undecided_run": 2, "unpaired": 1}
    assert told["input"] == {"read": 5, "kept": 2, "dropped": 3}


def test_a_group_stays_on_its_side_in_every_later_dataset(
    carry: Callable[..., Job],
    settings: Settings,
    sessions: Sessions,
    sentence: Callable[..., str],
) -> None:
    record_lessons(sessions, sentence, range(60))
    first = carry(curate_job, NO_GIT)
    held = {row["id"] for row in rows_of(settings, sessions, first, "heldout.jsonl")}
    trained = {row["id"] for row in rows_of(settings, sessions, first, "train.jsonl")}
    assert held and trained
    record_lessons(sessions, sentence, range(60, 120))
    other = NO_GIT.model_copy(update={"seed": 9, "heldout_fraction": 0.6})
    second = carry(curate_job, other)
    held_later = {row["id"] for row in rows_of(settings, sessions, second, "heldout.jsonl")}
    assert held <= held_later
    assert trained.isdisjoint(held_later)
    assert len(held_later) > 30


def test_what_any_dataset_held_out_is_not_trained_on(
    carry: Callable[..., Job],
    settings: Settings,
    sessions: Sessions,
    sentence: Callable[..., str],
) -> None:
    record_lessons(sessions, sentence, range(20))
    first = carry(curate_job, NO_GIT)
    said = [
        "\n".join(each["content"] for each in row["messages"])
        for row in rows_of(settings, sessions, first, "heldout.jsonl")
    ]
    leaks = [
        run_row(f"leak{at}", sentence(500 + at), f"{sentence(600 + at)}\n{said[0]}", reward=1.0)
        for at in range(8)
    ]
    with sessions.begin() as session:
        runs.add_runs(session, leaks)
    request = CurationRequest(
        repositories=(), lessons_limit=0, include_runs=True, disabled_filters=("failing_tests",)
    )
    again = carry(curate_job, request)
    assert again.result is not None
    assert again.result["statistics"]["filters"]["heldout_overlap"] >= 3
    cached = list((settings.home / "cache" / "heldout").glob("*.npz"))
    assert len(cached) == 1
    cached[0].write_bytes(b"damaged")
    assert carry(curate_job, request).status == again.status


def _refuse_connections(url: str, *, refuse: bool) -> None:
    """Make the database refuse everybody, and end those who are connected."""
    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True, connect_timeout=10) as connection:
        allow = "false" if refuse else "true"
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {allow}'.encode())
        if refuse:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(ended, [name])


def test_an_outage_in_the_middle_costs_no_lesson_and_doubles_none(
    carry: Callable[..., Job],
    settings: Settings,
    sessions: Sessions,
    sentence: Callable[..., str],
) -> None:
    record_lessons(sessions, sentence, range(2_500))
    seen: list[str] = []

    def work(attempt: Attempt) -> Callable[[Session], None]:
        for lesson in stored_lessons(attempt, 2_400):
            seen.append(lesson.id)
            if len(seen) == 1_000:
                record_lessons(sessions, sentence, range(90_000, 90_005))
                _refuse_connections(settings.postgres.url, refuse=True)
                back = threading.Timer(
                    1.0, _refuse_connections, [settings.postgres.url], {"refuse": False}
                )
                back.start()
        return lambda session: transitions.finish(session, attempt.claim, {})

    assert carry(work, NO_GIT, lease_seconds=60.0).status == Status.FINISHED
    assert len(set(seen)) == len(seen) == 2_400
    assert not any(id.startswith("l9") for id in seen)


def test_a_database_that_stays_away_ends_in_a_failure_that_is_tried_again(
    carry: Callable[..., Job],
    settings: Settings,
    sessions: Sessions,
    sentence: Callable[..., str],
) -> None:
    assert FailureCode(SourceAway.code) in RETRIED
    record_lessons(sessions, sentence, range(10))
    with psycopg.connect(settings.postgres.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE lessons RENAME TO lessons_elsewhere")
    job = carry(curate_job, NO_GIT, blind_seconds=1.0)
    assert (job.status, job.crashes) == (Status.QUEUED, 1)
    assert not (settings.home / "work" / job.id).exists()
    with sessions() as session:
        assert datasets.newest(session) is None


def test_a_folder_of_ours_is_all_that_a_job_writes(
    carry: Callable[..., Job], settings: Settings, tmp_path: Path
) -> None:
    assert carry(curate_job, NO_GIT).failure_code == FailureCode.NOTHING_CURATED
    assert {path.name for path in tmp_path.iterdir()} <= {"home"}
