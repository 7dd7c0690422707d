"""Moving the log of a job that is over out of Postgres, into one object of the artifact store.

The last events stay (`chunks.STAYING`), so how a job ended, and what its status shows, needs no
artifact. Nothing is removed before the object is published, and it is named in the transaction that
removes it; who is killed in between leaves an object that nobody names, which goes as garbage.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from academy.artifacts.manifest import write_manifest
from academy.artifacts.scratch import scratch
from academy.events import archive
from academy.events.event import START, Event, EventId
from academy.events.objects import KIND, NAME, LogObjects
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.events import chunks
from academy.store.events.chunks import Member


def move(settings: Settings, sessions: Sessions, objects: LogObjects, job_id: str) -> bool:
    """Move what the archive has of a job whose events are closed; whether that was done.

    False if the log changed meanwhile, as when another keeper did the same. Needs memory for two
    thousand events. Raises `StoreError`, `StorageFailure` and `OSError`; then nothing was changed.
    """
    with sessions() as session:
        known = chunks.spans(session, job_id)
        border = _border(archive.last_id(session, job_id))
    with scratch(settings.home, KIND) as folder:
        with sessions() as session:
            found = archive.read(session, objects, job_id, border, chunks.STAYING)
            staying = list(archive.runs(job_id, found))
        members = _write(sessions, objects, job_id, border, folder / NAME)
        key = None
        if members:
            write_manifest(folder)
            key = objects.store.publish(folder, KIND)
    with sessions.begin() as session:
        return chunks.move(session, job_id, known, key, members, staying)


def _border(last: EventId) -> EventId:
    """What comes behind it stays: the last events, of the last attempt only."""
    return EventId(last.attempt, max(0, last.seq - chunks.STAYING))


def _write(
    sessions: Sessions, objects: LogObjects, job_id: str, border: EventId, path: Path
) -> list[Member]:
    """Write the events up to the border, as gzip."""
    written: list[Member] = []
    with path.open("wb") as file:
        for page in _pages(sessions, objects, job_id, border):
            for part in archive.parts(page):
                # Without a time, so that equal logs are equal objects.
                data = gzip.compress(archive.lines(part) + b"\n", mtime=0)
                written.append(Member(archive.span(part), file.tell(), len(data)))
                file.write(data)
    return written


def _pages(
    sessions: Sessions, objects: LogObjects, job_id: str, border: EventId
) -> Iterator[list[Event]]:
    after = START
    while True:
        with sessions() as session:
            page = archive.read(session, objects, job_id, after, archive.CHUNK)
        wanted = [event for event in page if event.id <= border]
        if wanted:
            yield wanted
        if len(wanted) < len(page) or not page:
            return
        after = page[-1].id
