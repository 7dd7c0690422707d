"""Schedules in a database of the test's own, and a dataset and base model to train with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from academy.schedules import keeping
from academy.schedules.request import ScheduleRequest
from academy.settings import Settings
from academy.store.data import datasets
from academy.store.engine import Sessions
from academy.store.plans import schedules
from academy.store.plans.schedule_tables import Schedule


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    (tmp_path / "repositories").mkdir()
    return settings.changed(repo_roots=(tmp_path / "repositories",))


@pytest.fixture
def keep(sessions: Sessions) -> Callable[..., None]:
    """Keeps a schedule of curations, `late_seconds` after its due time."""

    def keep(name: str, *, late_seconds: float = 0.0, **values: object) -> None:
        given = {"kind": "curation", "request": {"repositories": []}, **values}
        if "cron" not in given:
            given.setdefault("every", "1h")
        with sessions.begin() as session:
            keeping.create(session, name, ScheduleRequest.model_validate(given), "ci")
        _set_due(sessions, name, late_seconds)

    return keep


@pytest.fixture
def come_due(sessions: Sessions) -> Callable[[str], None]:
    """Makes a schedule due now."""
    return lambda name: _set_due(sessions, name, 0.0)


@pytest.fixture
def make_dataset(settings: Settings, sessions: Sessions) -> Callable[[str], None]:
    """Registers a dataset that is large enough, and a base model to train on it."""
    model = settings.model_folders[0] / settings.models.base
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"")

    def make_dataset(name: str) -> None:
        with sessions.begin() as session:
            datasets.register(
                session,
                id=f"dataset_{name}",
                digest=f"sha256:{name}",
                key=f"datasets/{name}",
                format="alpaca",
                train_rows=settings.training.min_rows,
                heldout_rows=1,
                statistics={},
                request={},
            )

    return make_dataset


@pytest.fixture
def show(sessions: Sessions) -> Callable[[str], Schedule]:
    def show(name: str) -> Schedule:
        with sessions() as session:
            return schedules.get(session, name)

    return show


def _set_due(sessions: Sessions, name: str, late_seconds: float) -> None:
    url = sessions.kw["bind"].url.set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), connect_timeout=10) as each:
        each.execute(
            "UPDATE schedules SET next_at = clock_timestamp() - make_interval(secs => %s)"
            " WHERE name = %s",
            (late_seconds, name),
        )
