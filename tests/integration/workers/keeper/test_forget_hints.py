"""The outbox keeps what waits and what was published lately."""

from __future__ import annotations

import psycopg

from academy.settings import Settings
from workers.keeper.forget_hints import ForgetHints
from workers.keeper.publish_hints import PublishHints


def test_only_hints_that_were_published_long_ago_are_forgotten(
    context, settings: Settings, submit
) -> None:
    old = submit()
    PublishHints(context).do()
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        connection.execute("UPDATE hints SET published_at = published_at - interval '2 hours'")
    lately = submit()
    PublishHints(context).do()
    waiting = submit()
    assert ForgetHints(context).do() == 1
    assert ForgetHints(context).do() == 0
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        left = {job_id for (job_id,) in connection.execute("SELECT job_id FROM hints")}
    assert left == {lately, waiting} and old not in left
