"""A stream leaves Redis once the archive has had all of it for a while."""

from __future__ import annotations

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import transitions
from tests import reading
from tests.waiting import until
from workers.keeper.close_events import CloseEvents
from workers.keeper.drop_streams import DropStreams
from workers.keeper.duty import Context


def test_an_archived_stream_is_dropped_after_its_grace(
    context, settings: Settings, sessions: Sessions, submit
) -> None:
    job_id = submit()
    with sessions.begin() as session:
        transitions.request_cancel(session, job_id)
    until(lambda: CloseEvents(context).do() == 1, 10, "the events are closed")
    assert DropStreams(context).do() == 0
    impatient = Context.of(settings.changed(stream_grace_seconds=0.0), sessions)
    assert DropStreams(impatient).do() == 1
    assert reading.said(settings, sessions, job_id)[-1].is_last
