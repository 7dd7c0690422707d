"""A training that starts from an adapter of the registry, from the request to the new version."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from academy.artifacts.manifest import write_manifest
from academy.artifacts.store import ArtifactStore
from academy.errors import InvalidRequest, NotFound
from academy.jobs.attempt import carry_out
from academy.lifecycle import Status
from academy.settings import Settings
from academy.store.data import datasets
from academy.store.engine import Sessions
from academy.store.jobs import transitions
from academy.store.models import adapters
from academy.training.request import TrainingRequest
from academy.training.submission import submit_training
from academy.training.supervisor import train
from tests import reading
from tests.warm.python import WarmPython

RECIPE = {"max_steps": 2, "lora_rank": 4, "learning_rate": 0.01, "dtype": "float32"}


@pytest.fixture
def place(
    settings: Settings,
    sessions: Sessions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tiny_model: Path,
    warm_trainers: WarmPython,
) -> Settings:
    """A home with a tiny model and a data set of eight rows."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    place = settings.changed(models=(tiny_model.parent,), base_model="tiny")
    warm = (str(warm_trainers.executable), "-m", "academy.trainer")
    place = place.changed(min_train_rows=1, trainer_command=warm)
    rows = tmp_path / "dataset"
    rows.mkdir()
    for name in ("train", "heldout"):
        lines = (_row(f"{name}-{number}") for number in range(8))
        (rows / f"{name}.jsonl").write_text("".join(lines))
    digest = write_manifest(rows)
    with sessions.begin() as session:
        datasets.register(
            session,
            id="dataset_one",
            digest=digest,
            key=ArtifactStore(place).publish(rows, "datasets"),
            format="alpaca",
            train_rows=8,
            heldout_rows=8,
            statistics={},
            request={},
        )
    return place


def _row(name: str) -> str:
    turns = (("user", f"repeat {name}"), ("assistant", name))
    messages = [{"role": role, "content": text} for role, text in turns]
    return json.dumps({"id": name, "messages": messages}) + "\n"


def trained(settings: Settings, sessions: Sessions, **recipe: Any) -> str:
    """The id of the adapter that a training with this recipe made."""
    with sessions.begin() as session:
        request = TrainingRequest.model_validate(RECIPE | recipe)
        job_id = submit_training(session, settings, request, "a test").id
    with sessions.begin() as session:
        job = transitions.claim(session, "gpu", "worker-1", settings.jobs.lease_seconds)
    assert job is not None and job.id == job_id
    status = carry_out(settings, sessions, job, threading.Event(), train)
    said = [each.fields for each in reading.said(settings, sessions, job_id)]
    assert status == Status.FINISHED, said
    return job_id


def test_a_training_goes_on_from_an_adapter_of_the_registry(
    place: Settings, sessions: Sessions
) -> None:
    first = trained(place, sessions)
    second = trained(place, sessions, init_adapter=first)
    said = reading.said(place, sessions, second)
    logs = [each.fields.get("message", "") for each in said if each.type == "log"]
    assert f"starting from the adapter {first}" in logs
    with sessions() as session:
        old, new = (adapters.get(session, each) for each in (first, second))
        assert new.parent_id == first
        assert [each.id for each in adapters.children(session, first)] == [second]
        # It starts where the other one ended, and so is closer to the rows than that one was.
        assert new.metrics["adapter_loss"] < old.metrics["adapter_loss"]
        assert new.metrics["base_loss"] == pytest.approx(old.metrics["base_loss"])
    with sessions.begin() as session, pytest.raises(InvalidRequest, match="lora_rank 4, but"):
        request = TrainingRequest.model_validate({"lora_rank": 8, "init_adapter": first})
        submit_training(session, place, request, None)


def test_an_adapter_that_is_not_there_is_refused_before_anything_is_queued(
    place: Settings, sessions: Sessions
) -> None:
    with sessions.begin() as session, pytest.raises(NotFound, match="training_0"):
        request = TrainingRequest.model_validate({"init_adapter": "training_0"})
        submit_training(session, place, request, None)
    with sessions.begin() as session:
        assert transitions.claim(session, "gpu", "worker-1", 60.0) is None
