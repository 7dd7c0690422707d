"""A keeper's context, jobs for its duties, and what they left in the broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from academy.events import stream
from academy.lifecycle import JobKind
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from workers.keeper.duty import Context


@pytest.fixture
def context(settings: Settings, sessions: Sessions) -> Context:
    return Context.of(settings, sessions)


@pytest.fixture
def client(settings: Settings) -> Iterator[redis.Redis]:
    made = stream.connect(settings)
    yield made
    made.close()


@pytest.fixture
def submit(sessions: Sessions) -> Callable[[], str]:
    def submit() -> str:
        job = Job(id=jobs.new_id(JobKind.TRAINING), kind="training", queue="gpu", parameters={})
        with sessions.begin() as session:
            transitions.submit(session, job)
        return job.id

    return submit


@pytest.fixture
def hinted(client: redis.Redis) -> Callable[[], int]:
    """How many hints wait in the broker."""

    def hinted() -> int:
        waiting: Any = client.llen("gpu")
        return int(waiting)

    return hinted
