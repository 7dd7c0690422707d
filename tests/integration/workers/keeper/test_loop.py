"""A sweep does every duty, whatever becomes of one of them."""

from __future__ import annotations

import threading
from importlib import import_module
from pathlib import Path

import workers.keeper
from academy.events import stream
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from academy.store.webhooks import deliveries
from academy.webhooks import keeping
from academy.webhooks.request import WebhookRequest
from tests.waiting import until
from workers.keeper.loop import DUTIES, Keeper


def test_every_file_of_the_keeper_is_a_duty_that_the_loop_does_and_has_a_test() -> None:
    folder = Path(str(workers.keeper.__file__)).parent
    files = {each.stem for each in folder.glob("*.py")} - {"__init__", "__main__", "duty", "loop"}
    assert files == {duty.name for duty in DUTIES}
    for duty in DUTIES:
        assert duty.__module__ == import_module(f"workers.keeper.{duty.name}").__name__
        assert (Path(__file__).parent / f"test_{duty.name}.py").exists(), duty.name


def test_a_sweep_survives_redis_being_away(settings: Settings, sessions: Sessions, submit) -> None:
    submit()
    Keeper(settings.changed(redis_url="redis://127.0.0.1:1/0"), sessions).sweep()


def test_a_damaged_event_of_one_job_does_not_keep_the_others_from_being_reaped(
    settings: Settings, sessions: Sessions, client, submit
) -> None:
    keeper = Keeper(settings, sessions)
    damaged, lost = submit(), submit()
    with sessions.begin() as session:
        transitions.request_cancel(session, damaged)
    client.xadd(stream.key_of(damaged), {"e": "no JSON"}, id="1-1")
    with sessions.begin() as session:
        transitions.claim(session, "gpu", "w", 0.0)

    def is_queued_again() -> bool:
        keeper.sweep()
        with sessions() as session:
            return jobs.get(session, lost).status == "queued"

    until(is_queued_again, 10, "the job is queued again")


def test_it_keeps_until_it_is_told_to_stop(
    settings: Settings, sessions: Sessions, submit, hinted
) -> None:
    stopping = threading.Event()
    thread = threading.Thread(target=Keeper(settings, sessions).run, args=[stopping])
    thread.start()
    try:
        submit()
        until(lambda: hinted() == 1, 10, "a hint waits")
    finally:
        stopping.set()
        thread.join(timeout=10)
    assert not thread.is_alive()


def test_it_delivers_webhooks_meanwhile_and_ends_with_that(
    settings: Settings, sessions: Sessions, submit
) -> None:
    """Nobody listens there: it matters that it is tried, and that nothing outlives the keeper."""
    settings = settings.changed(webhook_private=True)
    with sessions.begin() as session:
        wanted = WebhookRequest(url="http://127.0.0.1:1/")
        webhook = keeping.create(session, wanted, "ci").id
    submit()
    stopping = threading.Event()
    thread = threading.Thread(target=Keeper(settings, sessions).run, args=[stopping])
    thread.start()

    def is_tried() -> bool:
        with sessions() as session:
            found = deliveries.page(session, webhook, state=None, limit=1, before=None)
        return any(each.last_error is not None for each in found)

    try:
        until(is_tried, 20, "it is tried")
    finally:
        stopping.set()
        thread.join(timeout=20)
    assert not thread.is_alive()
    assert not any(each.name == "webhooks" for each in threading.enumerate())
