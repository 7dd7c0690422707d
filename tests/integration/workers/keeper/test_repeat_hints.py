"""A lost hint is repeated, as far as there are workers for it."""

from __future__ import annotations

from academy.store.engine import Sessions
from academy.store.jobs import workers
from tests.waiting import until
from workers.keeper.publish_hints import PublishHints
from workers.keeper.repeat_hints import RepeatHints


def test_a_lost_hint_is_repeated_and_a_waiting_one_is_not(context, client, hinted, submit) -> None:
    repeat = RepeatHints(context)
    submit()
    PublishHints(context).do()
    client.flushall()
    until(lambda: repeat.do() == 1, 10, "the hint is repeated")
    assert hinted() == 1
    assert repeat.do() == 0


def test_a_burst_leaves_no_more_hints_than_workers_need(
    context, client, hinted, submit, sessions: Sessions
) -> None:
    publish = PublishHints(context)
    with sessions.begin() as session:
        for number in range(12):
            workers.seen(session, f"w{number}", queue="gpu", host="h", pid=1, versions={}, gpus=[])
    for _ in range(30):
        submit()
    assert publish.do() == 30
    assert hinted() == 12
    client.rpop("gpu")
    submit()
    publish.do()
    assert hinted() == 12
    until(lambda: RepeatHints(context).do() == 0, 10, "nothing is left to repeat")
