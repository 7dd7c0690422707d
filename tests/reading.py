"""Reading the events of a job as Academy's own processes do."""

from __future__ import annotations

from academy.events import archive, replay, stream
from academy.events.event import START, Event
from academy.events.objects import LogObjects
from academy.events.replay import Connections
from academy.settings import Settings
from academy.store.engine import Sessions


def connections(settings: Settings, sessions: Sessions) -> Connections:
    """What reading takes."""
    return Connections(sessions, stream.shared(settings), LogObjects(settings))


def said(settings: Settings, sessions: Sessions, job_id: str) -> list[Event]:
    """Every event of a job, from wherever it lies."""
    return replay.read_all(connections(settings, sessions), job_id)


def archived(settings: Settings, sessions: Sessions, job_id: str) -> list[Event]:
    """What the archive has of a job, ten thousand events at most."""
    with sessions() as session:
        return archive.read(session, LogObjects(settings), job_id, START, 10_000)
