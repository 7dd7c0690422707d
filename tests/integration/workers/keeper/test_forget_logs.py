"""Logs that are kept for so many days go then; how the job ended, and its figures, stay."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest

from academy.events import history, stream
from academy.events.event import Event
from academy.events.sender import EventSender
from academy.lifecycle import Status
from academy.settings import Settings
from academy.store.engine import Sessions
from tests import reading
from workers.keeper import forget_logs
from workers.keeper.duty import Context
from workers.keeper.forget_logs import ForgetLogs


@pytest.fixture
def duty(context: Context, settings: Settings) -> ForgetLogs:
    return ForgetLogs(replace(context, settings=settings.changed(log_days=30)))


def ended(settings: Settings, sessions: Sessions, job_id: str, lines: int) -> None:
    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
        for number in range(lines):
            events.emit("log", message=f"line {number}")
        events.emit("metrics", step=1, loss=0.5)
        events.emit("status", status=Status.FINISHED)


def age(settings: Settings, job_id: str, days: int) -> None:
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        connection.execute(
            "UPDATE jobs SET events_closed_at = now() - make_interval(days => %s) WHERE id = %s",
            (days, job_id),
        )


def test_the_log_of_an_old_job_is_its_end(
    duty: ForgetLogs, context: Context, settings: Settings, sessions: Sessions, submit
) -> None:
    old, young = submit(), submit()
    for each in (old, young):
        ended(settings, sessions, each, 2500)
    age(settings, old, 31)
    age(settings, young, 29)
    context.streams.delete(stream.key_of(old))
    assert duty.do() == 1
    left: list[Event] = reading.said(settings, sessions, old)
    assert [(each.type, str(each.id)) for each in left] == [
        ("truncated", "1-2501"),
        ("status", "1-2502"),
    ]
    assert left[-1].is_last
    assert len(reading.said(settings, sessions, young)) == 2502
    held = reading.connections(settings, sessions)
    assert [each["loss"] for each in history.series(held, old, None)["metrics"]] == [0.5]
    duty._again_at = 0.0
    assert duty.do() == 0


def test_more_than_one_sweep_holds_go_on_at_once_and_without_the_setting_nothing_goes(
    duty: ForgetLogs,
    context: Context,
    settings: Settings,
    sessions: Sessions,
    submit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forget_logs, "_AT_ONCE", 2)
    for _ in range(3):
        job_id = submit()
        ended(settings, sessions, job_id, 3)
        age(settings, job_id, 31)
    assert [duty.do() for _ in range(3)] == [2, 1, 0]
    job_id = submit()
    ended(settings, sessions, job_id, 3)
    age(settings, job_id, 36_000)
    assert ForgetLogs(context).do() == 0
