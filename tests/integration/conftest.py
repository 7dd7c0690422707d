"""Sessions and settings for tests that need the real servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from apiflask import APIFlask

from academy.lifecycle import JobKind
from academy.settings import Settings
from academy.store.engine import Sessions, open_sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job


@pytest.fixture
def settings(database_url: str, valkey_url: str, tmp_path: Path) -> Settings:
    """Settings with the test's own database, an empty Valkey, a home, and short intervals."""
    return Settings().changed(
        home=tmp_path / "home",
        database_url=database_url,
        redis_url=valkey_url,
        archive_seconds=0.2,
        heartbeat_seconds=0.2,
        lease_seconds=2.0,
        keeper_seconds=0.2,
        hint_seconds=0.3,
        tick_seconds=0.01,
        ping_seconds=0.5,
        retry_seconds=0.0,
    )


@pytest.fixture
def sessions(settings: Settings) -> Iterator[Sessions]:
    with open_sessions(settings) as made:
        yield made


@pytest.fixture
def job_id(sessions: Sessions) -> str:
    """The id of a training that waits."""
    job = Job(id=jobs.new_id(JobKind.TRAINING), kind="training", queue="gpu", parameters={})
    with sessions.begin() as session:
        transitions.submit(session, job)
    return job.id


@pytest.fixture(scope="session")
def routed() -> APIFlask:
    """The application's routes; making them for each test would take half of its time."""
    from academy.api.app import routes  # which most tests need not import

    return routes()


@pytest.fixture
def app(routed: APIFlask, settings: Settings, sessions: Sessions) -> Iterator[APIFlask]:
    """The application with the test's settings and connections."""
    from academy.api.app import open_state

    open_state(routed, settings)
    yield routed
    routed.extensions.pop("academy").close()
