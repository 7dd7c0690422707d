"""Logs of jobs that are over leave PostgreSQL; what cannot be moved stays, and is tried later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from academy.artifacts.store import ArtifactStore
from academy.events import archive
from academy.events.sender import EventSender
from academy.lifecycle import Status
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.events import chunks
from tests import reading
from workers.keeper import move_logs
from workers.keeper.duty import Context
from workers.keeper.move_logs import MoveLogs


def ended(settings: Settings, sessions: Sessions, job_id: str, lines: int, seconds: int) -> None:
    """A log of a job that was over so long ago."""
    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
        for number in range(lines):
            events.emit("log", message=f"line {number}")
        events.emit("status", status=Status.FINISHED)
    execute(
        settings,
        "UPDATE jobs SET events_closed_at = now() - make_interval(secs => %s) WHERE id = %s",
        seconds,
        job_id,
    )


def execute(settings: Settings, statement: str, *values: object) -> None:
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        connection.execute(statement, values)


def in_objects(settings: Settings, sessions: Sessions) -> int:
    return len(ArtifactStore(settings).children("logs"))


def test_a_minute_after_its_end_a_long_log_is_an_object(
    context: Context, settings: Settings, sessions: Sessions, submit
) -> None:
    old, young, short = submit(), submit(), submit()
    ended(settings, sessions, old, 1500, 61)
    ended(settings, sessions, young, 1500, 30)
    ended(settings, sessions, short, 190, 3600)
    duty = MoveLogs(context)
    assert [duty.do(), duty.do()] == [1, 0]
    assert in_objects(settings, sessions) == 1
    for job_id, lines in ((old, 1500), (young, 1500), (short, 190)):
        assert len(reading.archived(settings, sessions, job_id)) == lines + 1


def test_a_store_that_takes_nothing_is_left_alone_for_a_while_and_then_gets_it(
    context: Context, settings: Settings, sessions: Sessions, submit, tmp_path: Path
) -> None:
    job_id = submit()
    ended(settings, sessions, job_id, 1500, 61)
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    broken = settings.changed(artifacts=str(blocked / "artifacts"))
    duty = MoveLogs(replace(context, settings=broken))
    assert duty.do() == 0
    assert len(reading.archived(settings, sessions, job_id)) == 1501
    blocked.unlink()
    assert duty.do() == 0  # it is not asked at every sweep
    duty._again_at, duty._left = 0.0, {}
    assert duty.do() == 1
    assert len(reading.archived(broken, sessions, job_id)) == 1501


def test_a_damaged_log_does_not_keep_the_others_where_they_are(
    context: Context, settings: Settings, sessions: Sessions, submit
) -> None:
    job_ids = [submit() for _ in range(3)]
    for each in job_ids:
        ended(settings, sessions, each, 1500, 61)
    with sessions() as session:
        first = chunks.movable(session, closed_before_seconds=60, most=1)[0]
    execute(settings, "UPDATE event_chunks SET data = '\\x00' WHERE job_id = %s", first)
    duty = MoveLogs(context)
    done = []
    for _ in range(3):
        done.append(duty.do())
        duty._again_at = 0.0
    assert sum(done) == 2 and in_objects(settings, sessions) == 2


def test_one_sweep_does_not_take_long(
    context: Context,
    settings: Settings,
    sessions: Sessions,
    submit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(move_logs, "_LONGEST_SECONDS", 0.0)
    for _ in range(3):
        ended(settings, sessions, submit(), 300, 61)
    duty = MoveLogs(context)
    assert [duty.do() for _ in range(4)] == [1, 1, 1, 0]


def test_a_log_that_was_moved_is_forgotten_as_any_other(
    context: Context, settings: Settings, sessions: Sessions, submit
) -> None:
    job_id = submit()
    ended(settings, sessions, job_id, 1500, 61)
    assert MoveLogs(context).do() == 1
    with sessions() as session:
        assert chunks.outlived(session, closed_before_seconds=60, most=9) == [job_id]
    with sessions.begin() as session:
        archive.keep_only_the_end(session, job_id)
    with sessions() as session:
        assert chunks.outlived(session, closed_before_seconds=60, most=9) == []
    assert [each.type for each in reading.archived(settings, sessions, job_id)] == ["status"]
    assert MoveLogs(context).do() == 0
