"""A job's figures (metrics, evaluations, checkpoints), read without reading its log.

They are written with the archive, in the same transaction, so both always end at the same event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from academy.events.event import START, Event
from academy.store.engine import Session
from academy.store.events import figures

TYPES = frozenset({"metrics", "evaluation", "checkpoint"})


def of(events: Sequence[Event]) -> list[Event]:
    """The figures among events."""
    return [event for event in events if event.type in TYPES]


def store(session: Session, job_id: str, events: Sequence[Event]) -> None:
    """Store the figures among the events of one attempt, which are being archived."""
    found = [(event.id.seq, event.to_json()) for event in of(events)]
    if found:
        figures.append(session, job_id, events[0].id.attempt, found, events[-1].id.seq)


def archived(session: Session, job_id: str) -> Iterator[Event]:
    """The figures that have reached the archive, in order, each once."""
    last = START
    for line in figures.lines(session, job_id):
        event = Event.from_json(line)
        if event.id > last:
            last = event.id
            yield event
