"""A dump that is restored where transactions have smaller numbers loses and repeats no change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
import pytest
from alembic import command

from academy.store import migrate
from academy.store.changes import changes
from academy.store.changes.tables import Change
from academy.store.engine import Sessions
from academy.store.webhooks import webhooks
from academy.store.webhooks.tables import Webhook
from academy.webhooks import keeping
from academy.webhooks.request import WebhookRequest

#: Larger than the number of any transaction of a test's server.
FAR = 10**12


@pytest.fixture
def database(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection:
        yield connection


def put(database: psycopg.Connection[Any], *places: tuple[int, int]) -> None:
    for xid, id in places:
        database.execute(
            "INSERT INTO changes (xid, id, type, subject, data) OVERRIDING SYSTEM VALUE"
            " VALUES (%s::text::xid8, %s, 'job.queued', %s, '{}')",
            (str(xid), id, f"{xid}-{id}"),
        )


def told(session: Any, webhook_id: str) -> list[str]:
    found: list[str] = []

    def note(webhook: Webhook, rows: Sequence[Change]) -> list[dict[str, Any]]:
        found.extend(row.subject for row in rows)
        return []

    webhooks.fan_out(session, webhook_id, note, 100)
    return found


def test_what_was_not_taken_is_told_once_and_what_changes_now_comes_after_it(
    sessions: Sessions,
    database: psycopg.Connection[Any],
    database_url: str,
    submit: Callable[..., str],
) -> None:
    with sessions.begin() as session:
        made = [
            keeping.create(session, WebhookRequest(url="https://8.8.8.8/"), "ci").id
            for _ in range(2)
        ]
    for turn in (1, 2):  # it may happen again
        far = FAR * turn
        put(database, (far, 9), (far + 1, 7), (far + 2, 8))
        for webhook_id, read in zip(made, ((far, 9), (far + 1, 7)), strict=True):
            database.execute(
                "UPDATE webhooks SET cursor_xid = %s::text::xid8, cursor_id = %s WHERE id = %s",
                (str(read[0]), read[1], webhook_id),
            )
        database.execute("UPDATE removed_changes SET xid = %s::text::xid8", (str(far),))
        with sessions() as session:
            assert changes.is_ahead(session, far) and not changes.is_ahead(session, 3)
        command.upgrade(migrate.config(database_url), "head")
        new = submit()
        with sessions.begin() as session:
            assert told(session, made[0]) == [f"{far + 1}-7", f"{far + 2}-8", new]
            assert told(session, made[1]) == [f"{far + 2}-8", new]
            assert changes.oldest(session) == (3, 0)
        database.execute("DELETE FROM changes")


def test_on_the_same_server_nothing_is_renumbered(
    sessions: Sessions, database_url: str, submit: Callable[..., str]
) -> None:
    submit()
    with sessions() as session:
        before = [row.cursor for row in changes.after(session, *changes.BEGINNING, 10)]
    command.upgrade(migrate.config(database_url), "head")
    with sessions() as session:
        assert [row.cursor for row in changes.after(session, *changes.BEGINNING, 10)] == before
