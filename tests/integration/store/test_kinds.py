"""Kinds of jobs that another version knows: what the database admits, and who claims what."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import IntegrityError

from academy.lifecycle import JobKind
from academy.store import kinds, migrate, schema
from academy.store.engine import Sessions, sqlalchemy_url
from academy.store.jobs import jobs, slots, transitions, workers


def narrow(connection: Connection, *names: str) -> None:
    """Leave the CHECK as a version made it that declared these kinds only."""
    allowed = ", ".join(f"'{name}'" for name in names)
    connection.execute(text("ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check"))
    connection.execute(
        text(f"ALTER TABLE jobs ADD CONSTRAINT jobs_kind_check CHECK (kind IN ({allowed}))")
    )


@pytest.fixture
def another_kind(database_url: str) -> None:
    """The database admits a kind that this version does not declare."""
    engine = create_engine(sqlalchemy_url(database_url))
    with engine.begin() as connection:
        narrow(connection, *JobKind, "of_tomorrow")
    engine.dispose()


def claimed(sessions: Sessions, *known: str, queue: str = "gpu") -> str | None:
    with sessions.begin() as session:
        job = transitions.claim(session, queue, f"w-{known}", 60, kinds=known)
        return None if job is None else job.id


@pytest.mark.usefixtures("another_kind")
def test_a_worker_claims_nothing_of_a_kind_that_it_does_not_know(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    # Of the highest priority and of a share of its own, so that it would be everybody's first.
    newer = submit(kind="of_tomorrow", priority=9, role="tomorrow")
    wide = submit(kind="of_tomorrow", priority=9, parameters={"hosts": 2})
    assert claimed(sessions, "curation", "training") is None
    known = submit()
    assert claimed(sessions, "curation", "training") == known
    assert claimed(sessions, "curation", "training") is None
    assert claimed(sessions, "of_tomorrow") == newer
    with sessions() as session:
        assert jobs.get(session, wide).status == "queued"


@pytest.mark.usefixtures("another_kind")
def test_a_job_tells_when_no_live_worker_knows_its_kind(
    sessions: Sessions, submit: Callable[..., str]
) -> None:
    job_id = submit(kind="of_tomorrow")

    def see(worker: str, *known: str) -> str | None:
        with sessions.begin() as session:
            facts = {"queue": "gpu", "host": "h", "pid": 1, "versions": {}, "gpus": []}
            workers.seen(session, worker, kinds=known, **facts)
        with sessions() as session:
            return slots.why_waiting(session, jobs.get(session, job_id), 60)

    why = see("w-old", "training")
    assert why == "No live worker that could take it knows jobs of the kind 'of_tomorrow'."
    assert see("w-new", "training", "of_tomorrow") is None


def test_migrating_admits_the_declared_kinds_and_takes_none_away(
    database_url: str, sessions: Sessions, submit: Callable[..., str]
) -> None:
    engine = create_engine(sqlalchemy_url(database_url))
    with engine.begin() as connection:
        narrow(connection, "training", "of_yesterday")
        assert kinds.missing(connection) == {"curation"}
    assert schema.state(database_url).missing_kinds == {"curation"}
    with pytest.raises(schema.KindsMissing, match="kinds curation yet"):
        schema.require_in_order(database_url)
    with pytest.raises(IntegrityError, match="jobs_kind_check"):
        submit(kind="curation", queue="curation")
    assert migrate.upgrade(database_url).in_order
    submit(kind="curation", queue="curation")
    submit(kind="of_yesterday")  # another version may be running
    with pytest.raises(IntegrityError, match="jobs_kind_check"):
        submit(kind="of_tomorrow")
    engine.dispose()
