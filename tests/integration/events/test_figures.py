"""Charts and checkpoints are read without the log that they came between."""

from __future__ import annotations

from sqlalchemy import delete, func, select

from academy.events import archive, figures
from academy.events.event import Event, EventId
from academy.store.engine import Sessions
from academy.store.events import figures as stored
from academy.store.events.figures_tables import FigureChunk
from academy.store.events.tables import EventChunk


def _event(attempt: int, seq: int, kind: str) -> Event:
    return Event(EventId(attempt, seq), kind, "2026-01-01T00:00:00Z", {"step": seq})


def _mixed(attempt: int, first: int, count: int) -> list[Event]:
    """Nine log lines, then a metrics event, and so on."""
    return [
        _event(attempt, seq, "metrics" if seq % 10 == 0 else "log")
        for seq in range(first, first + count)
    ]


def _archived(sessions: Sessions, job_id: str) -> list[str]:
    with sessions() as session:
        return [str(event.id) for event in figures.archived(session, job_id)]


def test_figures_are_read_when_the_log_is_gone(sessions: Sessions, job_id: str) -> None:
    with sessions.begin() as session:
        archive.append(session, job_id, _mixed(1, 1, 2500))
        archive.append(session, job_id, [_event(2, 1, "evaluation"), _event(2, 2, "checkpoint")])
        session.execute(delete(EventChunk))
    wanted = [f"1-{seq}" for seq in range(10, 2501, 10)] + ["2-1", "2-2"]
    assert _archived(sessions, job_id) == wanted


def test_many_small_flushes_leave_few_chunks(sessions: Sessions, job_id: str) -> None:
    count = 2 * stored.FULL + 7
    for seq in range(1, count + 1, 3):
        with sessions.begin() as session:
            archive.append(session, job_id, [_event(1, each, "metrics") for each in _three(seq)])
    with sessions() as session:
        chunks = session.scalar(select(func.count()).select_from(FigureChunk))
    assert chunks == 3
    assert _archived(sessions, job_id) == [f"1-{seq}" for seq in range(1, count + 1)]


def test_a_repeated_flush_changes_nothing(sessions: Sessions, job_id: str) -> None:
    events = _mixed(1, 1, 300)
    for part in (events[:200], events[100:250], events, events[:50]):
        with sessions.begin() as session:
            archive.append(session, job_id, part)
    assert _archived(sessions, job_id) == [f"1-{seq}" for seq in range(10, 301, 10)]


def _three(seq: int) -> range:
    return range(seq, min(seq + 3, 2 * stored.FULL + 8))
