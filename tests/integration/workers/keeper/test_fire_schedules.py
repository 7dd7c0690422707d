"""A keeper submits what is due, and two of them submit it once."""

from __future__ import annotations

import psycopg

from academy.schedules import keeping
from academy.schedules.request import ScheduleRequest
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.plans import schedules
from workers.keeper.duty import Context
from workers.keeper.fire_schedules import FireSchedules


def test_what_is_due_is_submitted_by_one_of_two_keepers(
    context, settings: Settings, sessions: Sessions
) -> None:
    request = ScheduleRequest.model_validate(
        {"kind": "curation", "every": "1h", "request": {"repositories": []}}
    )
    with sessions.begin() as session:
        keeping.create(session, "nightly", request, "ci")
    one, other = FireSchedules(context), FireSchedules(Context.of(settings, sessions))
    assert (one.do(), other.do()) == (0, 0)
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        connection.execute("UPDATE schedules SET next_at = clock_timestamp()")
    assert sorted([one.do(), other.do()]) == [0, 1]
    with sessions() as session:
        assert schedules.get(session, "nightly").submitted == 1
