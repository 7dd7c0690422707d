"""What a job's events tell afterwards: log lines, series of figures, checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

from academy.events import archive, figures, replay, stream
from academy.events.event import START, Event, EventId
from academy.events.replay import Connections
from academy.store.events import chunks
from academy.store.jobs.tables import Job

#: Lines that a job's status shows.
LAST_LINES = 50
#: Events that are looked through for one page of lines.
SEARCHED = 50_000
#: What JSON writes without an escape.
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_BATCH = 1000


@dataclass(frozen=True)
class Tail:
    """The end of a log, and the id of the last event of any type."""

    lines: list[str]
    last_event_id: str | None


def events(held: Connections, job_id: str, after: EventId = START) -> Iterator[Event]:
    """Every event after `after` that there is now, read in batches."""
    while True:
        page = replay.read(held, job_id, after, _BATCH)
        yield from page.events
        if not page.events:
            return
        after = page.events[-1].id


def last_lines(held: Connections, job: Job) -> Tail:
    """The last lines of a job's log, without reading the rest of it."""
    last = _last_id(held, job.id)
    if last == START:
        return Tail([], None)
    # Some events are no lines, so a few more are read than are shown; they are never moved.
    after = EventId(last.attempt, max(0, last.seq - chunks.STAYING))
    lines = [text for event in events(held, job.id, after) if (text := text_of(event))]
    return Tail(lines[-LAST_LINES:], str(last))


@dataclass(frozen=True)
class LogPage:
    """Lines of a log; `last` is where the next page begins, and None if there is nothing more."""

    lines: list[dict[str, Any]]
    last: EventId | None


def log_page(
    held: Connections, job_id: str, after: EventId, limit: int, containing: str | None = None
) -> LogPage:
    """Up to `limit` lines after `after`, oldest first; only those with `containing`, in any case.

    One page looks through `SEARCHED` events at most, so it may have few lines, or none, and more
    come after it.
    """
    lines: list[dict[str, Any]] = []
    wanted, last = _Wanted(containing), after
    for number, event in enumerate(events(held, job_id, after)):
        if number == SEARCHED:
            return LogPage(lines, last)
        line = wanted.line_of(event)
        if line is not None:
            if len(lines) == limit:
                return LogPage(lines, last)
            lines.append(line)
        last = event.id
    return LogPage(lines, None)


def log_lines(
    held: Connections, job_id: str, after: EventId, containing: str | None = None
) -> Iterator[dict[str, Any]]:
    """Every such line, as it is read."""
    wanted = _Wanted(containing)
    for event in events(held, job_id, after):
        line = wanted.line_of(event)
        if line is not None:
            yield line


class _Wanted:
    """Which events are lines of a log that somebody wants: all, or those that hold a text."""

    def __init__(self, containing: str | None) -> None:
        self._text = "" if containing is None else containing.casefold()
        # Without parsing: what is plain stands in JSON as it is.
        self._in_json = self._text if _PLAIN.fullmatch(self._text) else ""

    def line_of(self, event: Event) -> dict[str, Any] | None:
        """The event as a line; None if it is none, or not wanted."""
        if event.type not in _LEVELS:
            return None
        if self._in_json and self._in_json not in event.to_json().casefold():
            return None
        text = text_of(event)
        if text is None or (self._text and self._text not in text.casefold()):
            return None
        return {
            "id": str(event.id),
            "line": int(event.fields.get("line", event.id.seq)),
            "level": str(event.fields.get("level", _LEVELS.get(event.type, "info"))),
            "message": text,
            "timestamp": event.timestamp,
        }


def series(held: Connections, job_id: str, points: int | None) -> dict[str, Any]:
    """The metrics and evaluations of a training by step.

    A step that was done again after a resume counts once, with its last figures. With `points`, so
    many are chosen evenly, always with the first and the last.
    """
    metrics: dict[int, dict[str, Any]] = {}
    evaluations: list[dict[str, Any]] = []
    for event in figure_events(held, job_id):
        if event.type == "metrics":
            metrics[int(event.fields.get("step") or event.id.seq)] = event.as_dict()
        elif event.type == "evaluation":
            evaluations.append(event.as_dict())
    every = [metrics[step] for step in sorted(metrics)]
    return {
        "job_id": job_id,
        "count": len(every),
        "metrics": thinned(every, points),
        "evaluations": evaluations,
    }


def checkpoints(held: Connections, job_id: str) -> list[dict[str, Any]]:
    """The checkpoints that a training announced, oldest first."""
    found = figure_events(held, job_id)
    return [event.as_dict() for event in found if event.type == "checkpoint"]


def figure_events(held: Connections, job_id: str) -> list[Event]:
    """Every metrics, evaluation and checkpoint event of a job, in order, without its log lines.

    What the archive does not have yet, a few seconds' worth of events, comes from the live log.
    """
    with held.sessions() as session:
        found = list(figures.archived(session, job_id))
        last = archive.last_id(session, job_id)
    return found + [event for event in events(held, job_id, last) if event.type in figures.TYPES]


def text_of(event: Event) -> str | None:
    """An event as a line of the log; None if it is not one."""
    if event.type in _LEVELS:
        message = event.fields.get("message")
        return str(message) if message is not None else None
    return None


def thinned(rows: list[dict[str, Any]], points: int | None) -> list[dict[str, Any]]:
    """At most `points` of the rows, evenly chosen, with the first and the last."""
    if points is None or len(rows) <= points:
        return rows
    last = len(rows) - 1
    return [rows[round(index * last / (points - 1))] for index in range(points)]


#: The types of events that are lines of the log, and the level of those that name none.
_LEVELS = {"log": "info", "stage": "info", "error": "error"}


def _last_id(held: Connections, job_id: str) -> EventId:
    try:
        live = stream.last_id(held.redis, job_id)
    except redis.RedisError:
        live = None  # the archive knows, up to its last flush
    with held.sessions() as session:
        archived = archive.last_id(session, job_id)
    return max(live or START, archived)
