"""Deleting a dataset or an adapter: what nothing names goes, whatever happens at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from academy.access.keys import Role
from academy.artifacts.store import ArtifactStore
from academy.errors import AcademyError, NotFound
from academy.lifecycle import JobKind
from academy.ops import garbage
from academy.settings import Settings
from academy.store.data import datasets
from academy.store.engine import Session, Sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from academy.store.models import adapters
from academy.store.models.dependents import StillNamed
from academy.store.models.tables import Adapter
from tests.waiting import until


def training(sessions: Sessions, dataset: str, **parameters: Any) -> str:
    """A queued training."""
    job = Job(
        id=jobs.new_id(JobKind.TRAINING),
        kind="training",
        queue="gpu",
        parameters=parameters,
        dataset_id=dataset,
        base_model="tiny",
    )
    with sessions.begin() as session:
        transitions.submit(session, job)
    return job.id


def child(sessions: Sessions, parent: str, **columns: Any) -> str:
    """An adapter like another one that was trained from it, or as `columns` say."""
    with sessions.begin() as session:
        first = adapters.get(session, parent)
        copied = ("digest", "key", "base_model", "parameters", "metrics", "code_version")
        values = {name: getattr(first, name) for name in copied} | {"parent_id": parent} | columns
        adapters.register(session, Adapter(id="training_child", **values))
    return "training_child"


def move(sessions: Sessions, adapter_id: str | None, alias: str = "coder") -> None:
    with sessions.begin() as session:
        adapters.move_alias(
            session, alias, adapter_id, expected_generation=None, moved_by=None, reason=None
        )


class TestDatasets:
    def test_one_that_nothing_names_goes_from_lists_at_once_and_from_disk_by_and_by(
        self, admin, dataset, settings: Settings, sessions: Sessions
    ) -> None:
        path = Path(admin.get(f"/datasets/{dataset}").json["dataset_path"])
        job = training(sessions, dataset)
        assert admin("DELETE", f"/jobs/{job}").json["status"] == "cancelled"
        gone = admin("DELETE", f"/datasets/{dataset}")
        assert (gone.status_code, gone.json["id"]) == (200, dataset)
        assert admin.get("/datasets").json["datasets"] == []
        assert admin.get(f"/datasets/{dataset}/rows").status_code == 404
        assert admin("DELETE", f"/datasets/{dataset}").status_code == 404
        assert admin.get(f"/jobs/{job}").json["dataset_id"] == dataset, "history stays"
        # Somebody may be reading it: the grace time begins with the deletion.
        store = ArtifactStore(settings)
        assert garbage.collect(store, sessions, grace_seconds=3600) == [] and path.exists()
        assert garbage.collect(store, sessions, grace_seconds=0) and not path.exists()

    def test_what_names_it_is_told_with_the_way_out(self, admin, dataset, sessions) -> None:
        job = training(sessions, dataset)
        schedule = {"name": "nightly", "kind": "training", "every": "6h", "enabled": False}
        made = admin.post("/schedules", json=schedule | {"request": {"dataset_id": dataset}})
        assert made.status_code == 201
        refused = admin("DELETE", f"/datasets/{dataset}")
        assert (refused.status_code, refused.json["code"]) == (409, "still_named")
        told = [each["detail"] for each in refused.json["errors"]]
        assert told == [f"named by the job {job} (queued)", "named by the schedule nightly"]
        assert all(each["allowed"] for each in refused.json["errors"])
        assert admin.get(f"/datasets/{dataset}").status_code == 200
        admin("DELETE", "/schedules/nightly")
        admin("DELETE", f"/jobs/{job}")
        assert admin("DELETE", f"/datasets/{dataset}").status_code == 200

    def test_an_adapter_that_was_trained_on_it_keeps_it(
        self, admin, dataset, adapter, sessions
    ) -> None:
        child(sessions, adapter, dataset_id=dataset, parent_id=None)
        refused = admin("DELETE", f"/datasets/{dataset}")
        assert refused.json["errors"][0]["detail"].startswith("named by the adapter training_child")
        assert admin("DELETE", "/adapters/training_child").status_code == 200
        assert admin("DELETE", f"/datasets/{dataset}").status_code == 200

    def test_a_running_sweep_keeps_it_and_an_ended_one_does_not(self, admin, dataset) -> None:
        body = {"training": {"dataset_id": dataset}, "knobs": {"lora_rank": {"values": [4, 8]}}}
        sweep = admin.post("/train/sweep", json=body).json["sweep_id"]
        refused = admin("DELETE", f"/datasets/{dataset}")
        assert f"the sweep {sweep} (running)" in refused.json["detail"]
        assert admin("DELETE", f"/train/sweep/{sweep}").status_code == 200
        assert admin("DELETE", f"/datasets/{dataset}").status_code == 200
        assert admin.get(f"/train/sweep/{sweep}").json["dataset_id"] == dataset

    def test_an_operator_may_and_a_viewer_may_not(self, caller, dataset) -> None:
        assert caller(Role.VIEWER)("DELETE", f"/datasets/{dataset}").status_code == 403
        assert caller(Role.OPERATOR)("DELETE", f"/datasets/{dataset}").status_code == 200


class TestAdapters:
    def test_one_that_nothing_names_goes_and_the_histories_keep_its_id(
        self, admin, adapter, sessions
    ) -> None:
        move(sessions, adapter)
        move(sessions, None)
        assert admin("DELETE", f"/adapters/{adapter}").status_code == 200
        assert admin.get("/adapters").json == []
        assert admin("DELETE", f"/adapters/{adapter}").status_code == 404
        moves = admin.get("/aliases/coder/history").json["moves"]
        assert [each["to_adapter_id"] for each in moves] == [None, adapter]
        chat = {"model": adapter, "messages": [{"role": "user", "content": "hello"}]}
        assert admin.post("/v1/chat/completions", json=chat).status_code == 404

    def test_an_alias_keeps_what_it_points_at_and_what_it_would_go_back_to(
        self, admin, adapter, sessions
    ) -> None:
        other = child(sessions, adapter, parent_id=None)
        move(sessions, adapter)
        refused = admin("DELETE", f"/adapters/{adapter}").json
        assert refused["errors"][0]["detail"] == "named by the alias coder"
        move(sessions, other)
        refused = admin("DELETE", f"/adapters/{adapter}").json
        assert f"served by it before {other}" in refused["detail"]
        move(sessions, other)
        assert admin("DELETE", f"/adapters/{adapter}").status_code == 200

    def test_a_child_a_waiting_training_and_a_schedule_keep_it(
        self, admin, adapter, dataset, sessions
    ) -> None:
        child(sessions, adapter)
        job = training(sessions, dataset, init_adapter=adapter)
        schedule = {"name": "s", "kind": "training", "every": "6h"}
        admin.post("/schedules", json=schedule | {"request": {"init_adapter": adapter}})
        refused = admin("DELETE", f"/adapters/{adapter}")
        assert [each["detail"] for each in refused.json["errors"]] == [
            f"named by the job {job} (queued)",
            "named by the adapter training_child (trained from it)",
            "named by the schedule s",
        ]

    def test_an_admin_may_and_an_operator_may_not(self, caller, adapter) -> None:
        assert caller(Role.OPERATOR)("DELETE", f"/adapters/{adapter}").status_code == 403
        assert caller(Role.ADMIN)("DELETE", f"/adapters/{adapter}").status_code == 200


@pytest.fixture
def at_the_same_time(sessions: Sessions, settings: Settings) -> Callable[..., list[Any]]:
    return partial(_at_the_same_time, sessions, settings)


def _waits_for_a_lock(settings: Settings) -> bool:
    query = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        found = connection.execute(query).fetchone()
    return found is not None and found[0] > 0


def _at_the_same_time(
    sessions: Sessions,
    settings: Settings,
    first: Callable[[Session], Any],
    second: Callable[[Session], Any],
) -> list[type[AcademyError] | None]:
    """What became of both, where the second begins while the first is not committed yet."""
    outcomes: list[type[AcademyError] | None] = [None, None]

    def run() -> None:
        try:
            with sessions.begin() as session:
                second(session)
        except AcademyError as error:
            outcomes[1] = type(error)

    thread = threading.Thread(target=run)
    with sessions.begin() as session:
        first(session)
        thread.start()
        until(lambda: _waits_for_a_lock(settings), 20, "the second waits for the first")
    thread.join(timeout=30)
    assert not thread.is_alive()
    return outcomes


class TestAtTheSameTime:
    """The one that comes second sees what the first one did."""

    @pytest.fixture
    def names(self, settings: Settings, dataset: str, adapter: str) -> dict[str, Any]:
        """Everything that begins to name a dataset or an adapter, as the API does it."""
        from academy.schedules import keeping
        from academy.schedules.request import ScheduleRequest
        from academy.training.request import TrainingRequest
        from academy.training.submission import submit_training

        def train(session: Session) -> None:
            submit_training(session, settings, TrainingRequest(dataset_id=dataset), "ci")

        def activate(session: Session) -> None:
            adapters.move_alias(
                session, "coder", adapter, expected_generation=None, moved_by=None, reason=None
            )

        def schedule(session: Session) -> None:
            request = {"dataset_id": dataset}
            wanted = ScheduleRequest(kind=JobKind.TRAINING, request=request, every=3600)
            keeping.create(session, "nightly", wanted, "ci")

        return {"train": train, "activate": activate, "schedule": schedule}

    def test_a_training_and_the_deletion_of_its_dataset(
        self, at_the_same_time, sessions, dataset, names
    ) -> None:
        def delete(session: Session) -> None:
            datasets.delete(session, dataset)

        assert at_the_same_time(names["train"], delete) == [None, StillNamed]
        with sessions.begin() as session:
            transitions.request_cancel(session, jobs.page(session, limit=1)[0].id)
        assert at_the_same_time(delete, names["train"]) == [None, NotFound]

    def test_a_schedule_and_the_deletion_of_its_dataset(
        self, at_the_same_time, sessions, dataset, names
    ) -> None:
        def delete(session: Session) -> None:
            datasets.delete(session, dataset)

        assert at_the_same_time(names["schedule"], delete) == [None, StillNamed]

    def test_an_alias_and_the_deletion_of_its_adapter(
        self, at_the_same_time, sessions, adapter, names
    ) -> None:
        def delete(session: Session) -> None:
            adapters.delete(session, adapter)

        assert at_the_same_time(names["activate"], delete) == [None, StillNamed]
        move(sessions, None)
        assert at_the_same_time(delete, names["activate"]) == [None, NotFound]
        with sessions() as session:
            assert [each.adapter_id for each in adapters.aliases(session)] == [None]

    def test_the_same_dataset_made_again_while_it_is_deleted_is_there_afterwards(
        self, at_the_same_time, sessions, dataset
    ) -> None:
        with sessions() as session:
            row = datasets.get(session, dataset)
        copied = ("id", "digest", "key", "format", "train_rows", "heldout_rows", "statistics")
        values = {name: getattr(row, name) for name in (*copied, "request", "job_id")}

        def delete(session: Session) -> None:
            datasets.delete(session, dataset)

        def register(session: Session) -> None:
            assert datasets.register(session, **values).id == dataset

        assert at_the_same_time(delete, register) == [None, None]
        with sessions() as session:
            assert datasets.get(session, dataset).key == row.key

    def test_of_many_deletions_and_moves_at_once_no_alias_is_left_with_nothing(
        self, sessions, adapter
    ) -> None:
        extra = [f"training_{number}" for number in range(12)]
        with sessions.begin() as session:
            first = adapters.get(session, adapter)
            copied = ("digest", "key", "base_model", "parameters", "metrics", "code_version")
            for each in extra:
                values = {name: getattr(first, name) for name in copied}
                adapters.register(session, Adapter(id=each, **values))
        outcomes: list[tuple[str, str, bool]] = []
        barrier = threading.Barrier(2 * len(extra))

        def attempt(what: str, id: str, work: Callable[[Session], Any]) -> None:
            barrier.wait(timeout=30)
            try:
                with sessions.begin() as session:
                    work(session)
                outcomes.append((what, id, True))
            except (NotFound, StillNamed):
                outcomes.append((what, id, False))

        threads = []
        for each in extra:
            moving = {"expected_generation": None, "moved_by": None, "reason": None}

            def point(session: Session, id: str = each, moving: Any = moving) -> None:
                adapters.move_alias(session, f"alias_{id}", id, **moving)

            def remove(session: Session, id: str = each) -> None:
                adapters.delete(session, id)

            threads += [
                threading.Thread(target=attempt, args=("move", each, point)),
                threading.Thread(target=attempt, args=("delete", each, remove)),
            ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert len(outcomes) == 2 * len(extra)
        for each in extra:
            won = {what for what, id, well in outcomes if id == each and well}
            assert len(won) == 1, (each, outcomes)


def test_the_commands_delete(run, dataset: str, adapter: str) -> None:
    assert run("adapters", "delete", adapter) == f"Adapter {adapter!r} deleted\n"
    assert run("datasets", "delete", dataset) == f"Dataset {dataset!r} deleted\n"
    with pytest.raises(AcademyError, match=dataset):
        run("dataset", "delete", dataset)
