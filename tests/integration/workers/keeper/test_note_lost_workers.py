"""A worker that falls silent is noted once, and not because Postgres was away."""

from __future__ import annotations

import psycopg

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import workers
from tests.waiting import until
from workers.keeper.duty import Context
from workers.keeper.note_lost_workers import NoteLostWorkers


def test_a_silent_worker_is_noted_by_one_of_two_keepers_once_they_are_steady(
    context, settings: Settings, sessions: Sessions
) -> None:
    for name in ("silent", "stopped", "heard"):
        with sessions.begin() as session:
            workers.seen(session, name, queue="gpu", host="h", pid=1, versions={}, gpus=[])
    with sessions.begin() as session:
        workers.stopped(session, "stopped")
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        connection.execute(
            "UPDATE workers SET last_seen_at = now() - interval '1 hour' WHERE id <> 'heard'"
        )
        # By the test's lease it would be silent soon as well.
        connection.execute(
            "UPDATE workers SET last_seen_at = now() + interval '1 hour' WHERE id = 'heard'"
        )
    one, other = NoteLostWorkers(context), NoteLostWorkers(Context.of(settings, sessions))
    assert (one.do(), other.do()) == (0, 0)
    noted: list[int] = []
    until(lambda: noted.extend([one.do(), other.do()]) or sum(noted), 10, "one of them notes it")
    assert (one.do(), other.do()) == (0, 0)
    assert sum(noted) == 1
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        told = connection.execute("SELECT subject FROM changes WHERE type = 'worker.lost'")
        assert told.fetchall() == [("silent",)]
