"""``/train/{id}/logs``: pages of the log, and the live stream as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from academy.access.keys import Role
from academy.api.jobs.logs_shapes import LogsPage, LogsQuery, StreamQuery
from academy.events.event import START, Event, EventId
from academy.events.history import log_lines
from academy.store.engine import StoreError
from academy.store.jobs import jobs
from academy.web.permissions import allows
from academy.web.shapes import text_answer
from academy.web.state import State, state
from academy.web.watchers import ServerStopping

blueprint = APIBlueprint("logs", __name__, tag="Logs")

_STREAM_HEADERS = {
    "Cache-Control": "no-cache",
    "Connection": "keep-alive",
    "X-Accel-Buffering": "no",  # nginx would hold events back
}


@blueprint.get("/train/<job_id>/logs")
@allows(Role.VIEWER)
@blueprint.input(LogsQuery, location="query", arg_name="query")
@blueprint.output(LogsPage)
def log_page(job_id: str, query: LogsQuery) -> Any:
    """A page of log lines, oldest first; ``download=1`` gives all of them as text."""
    _require_job(job_id)
    after = EventId.parse(query.after) if query.after else START
    lines = log_lines(state(), job_id, after, query.q)
    if query.download:
        return _as_file(job_id, lines)
    rows = list(islice(lines, query.limit + 1))
    has_more = len(rows) > query.limit
    rows = rows[: query.limit]
    return {
        "job_id": job_id,
        "count": len(rows),
        "lines": rows,
        "has_more": has_more,
        "next": rows[-1]["id"] if rows else (query.after or None),
    }


@blueprint.get("/train/<job_id>/logs/stream")
@allows(Role.VIEWER, ticket=True)
@blueprint.input(StreamQuery, location="query", arg_name="query")
@blueprint.doc(
    responses=text_answer(
        "Server-sent events; each event's data is a JSON object with its type.", "text/event-stream"
    )
)
def log_stream(job_id: str, query: StreamQuery) -> Response:
    """Everything that a job says, live: from the beginning, or after the event last seen.

    Ends after the terminal status. ``Last-Event-ID`` wins over ``after``, so a browser's own
    reconnect goes on where it was.
    """
    _require_job(job_id)
    text = request.headers.get("Last-Event-ID") or query.after
    after = EventId.parse(text) if text else None
    answer = Response(
        _server_sent(state(), job_id, after),
        content_type="text/event-stream; charset=utf-8",
    )
    answer.headers.extend(_STREAM_HEADERS)
    return answer


def _server_sent(current: State, job_id: str, after: EventId | None) -> Iterator[str]:
    """The stream's text (WHATWG HTML, section 9.2).

    Events carry no ``event:`` line: a browser hands unnamed ones to ``onmessage``, and would take
    one named ``error`` for a broken connection. The type is in the data.
    """
    yield _data({"type": "connected", "job_id": job_id})
    try:
        with current.watchers.watching():
            for batch in current.hub.watch(job_id, after):
                yield _frame(current, job_id, batch) if batch else ": ping\n\n"
    except ServerStopping:
        yield ": the server is stopping, connect again\n\n"
    except StoreError:
        yield _data({"type": "error", "message": "The database is away; connect again."})


def _frame(current: State, job_id: str, batch: list[Event]) -> str:
    text = current.texts.text
    return "".join(f"id: {event.id}\ndata: {text(job_id, event)}\n\n" for event in batch)


def _data(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"


def _as_file(job_id: str, lines: Iterator[dict[str, Any]]) -> Response:
    text = (f"{each['timestamp']} {each['level']:<7} {each['message']}\n" for each in lines)
    return Response(
        text,
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{job_id}.log"'},
    )


def _require_job(job_id: str) -> None:
    with state().sessions() as session:
        jobs.get(session, job_id)
