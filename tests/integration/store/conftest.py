"""Sessions on a database of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from academy.lifecycle import JobKind
from academy.settings import Settings
from academy.store import jobs, transitions
from academy.store.engine import Sessions, make_sessions
from academy.store.tables import Job


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    made = make_sessions(Settings(database_url=database_url))
    yield made
    made.kw["bind"].dispose()


@pytest.fixture
def submit(sessions: Sessions):
    """Submits a training job and returns its id."""

    def submit(**values: object) -> str:
        job = Job(
            id=jobs.new_id(JobKind.TRAINING),
            kind=JobKind.TRAINING,
            queue="gpu",
            **{"parameters": {}, **values},
        )
        with sessions.begin() as session:
            transitions.submit(session, job)
        return job.id

    return submit
