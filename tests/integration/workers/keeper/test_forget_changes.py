"""What changed long ago is removed, however much of it there is."""

from __future__ import annotations

import psycopg

from academy.settings import Settings
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
