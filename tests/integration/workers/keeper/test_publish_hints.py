"""A hint that no API process got to the broker gets there, once and when it can be claimed."""

from __future__ import annotations

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import transitions
from tests.waiting import until
from workers.keeper.loop import Keeper
from workers.keeper.publish_hints import PublishHints


def test_a_hint_that_no_api_published_is_published_once(
    context, settings: Settings, sessions: Sessions, hinted, submit
) -> None:
    submit()
    Keeper(settings, sessions).sweep()
    PublishHints(context).do()
    assert hinted() == 1


def test_the_hint_of_a_job_in_its_back_off_is_published_when_it_can_be_claimed(
    context, sessions: Sessions, client, hinted, submit
) -> None:
    publish = PublishHints(context)
    submit()
    publish.do()
    client.flushall()
    with sessions.begin() as session:
        transitions.claim(session, "gpu", "w", 0.0)
    with sessions.begin() as session:
        assert transitions.reap(session, max_crashes=3, retry_seconds=0.5) == 1
    assert publish.do() == 0
    until(lambda: publish.do() == 1, 10, "the hint is published")
    assert hinted() == 1
    with sessions.begin() as session:
        assert transitions.claim(session, "gpu", "w", 60.0) is not None
