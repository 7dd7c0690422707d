"""What changed long ago is removed, however much of it there is."""

from __future__ import annotations

import psycopg

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.webhooks import webhooks
from academy.webhooks import keeping, message
from academy.webhooks.request import WebhookRequest
from tests.waiting import until
from workers.keeper import forget_changes
from workers.keeper.forget_changes import ForgetChanges


def test_only_what_changed_long_ago_is_removed_and_in_several_transactions(
    context, settings: Settings, submit
) -> None:
    count = forget_changes._AT_ONCE + 5
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        connection.execute(
            "INSERT INTO changes (at, type, subject, data)"
            " SELECT now() - interval '8 days', 'job.queued', 'old', '{}'"
            " FROM generate_series(1, %s)",
            (count,),
        )
    submit()
    duty = ForgetChanges(context)
    removed: list[int] = []
    # Nothing is removed while somebody writes, such as PostgreSQL its own statistics.
    until(lambda: removed.append(duty.do()) or sum(removed) == count, 60, "all went that is old")
    assert duty.do() == 0
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        left = [subject for (subject,) in connection.execute("SELECT subject FROM changes")]
    assert len(left) == 1 and left != ["old"]


def test_what_a_webhook_has_not_taken_yet_has_another_day(
    context, settings: Settings, sessions: Sessions, submit
) -> None:
    with sessions.begin() as session:
        webhook = keeping.create(session, WebhookRequest(url="https://8.8.8.8/"), "ci")
    submit()
    duty = ForgetChanges(context)
    removed: list[int] = []

    def age(days: str) -> None:
        with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
            connection.execute("UPDATE changes SET at = now() - %s::interval", (days,))

    age("7 days 1 hour")
    assert duty.do() == 0

    def takes() -> int:
        with sessions.begin() as session:
            return webhooks.fan_out(session, webhook.id, message.deliveries_of, 10)

    until(lambda: takes() == 1, 60, "it is taken")
    until(lambda: removed.append(duty.do()) or sum(removed) == 1, 60, "it was taken and goes")
    submit()
    age("8 days 1 hour")
    until(lambda: removed.append(duty.do()) or sum(removed) == 2, 60, "its day is over")
