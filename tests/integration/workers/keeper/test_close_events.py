"""The events of every job that is over come to an end."""

from __future__ import annotations

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import transitions
from tests import reading
from tests.waiting import until
from workers.keeper.close_events import CloseEvents


def test_the_events_of_a_job_that_nobody_closed_get_their_end(
    context, settings: Settings, sessions: Sessions, submit
) -> None:
    close = CloseEvents(context)
    job_id = submit()
    with sessions.begin() as session:
        transitions.request_cancel(session, job_id)
    until(lambda: close.do() == 1, 10, "the events are closed")
    events = reading.said(settings, sessions, job_id)
    assert [event.fields["status"] for event in events] == ["cancelled"]
