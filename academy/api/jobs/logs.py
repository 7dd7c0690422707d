"""``/jobs/{id}/logs``, also below ``/train``: pages of the log, and the live stream (SSE)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from apiflask import APIBlueprint
from flask import Response, request

from academy.access.keys import Role
from academy.api.jobs.logs_shapes import EVENT_ID, LogsPage, LogsQuery, StreamQuery
from academy.errors import Unavailable, failure_body
from academy.events.event import START, Event, EventId
from academy.events.history import log_lines
from academy.store.engine import StoreError
from academy.store.jobs import jobs
from academy.web.declarations import TEXT, answers, reads_header, streams
from academy.web.permissions import allows
from academy.web.state import State, state
from academy.web.streamed import Streamed
from academy.web.watchers import ServerStopping
from academy.wire import sse

blueprint = APIBlueprint("logs", __name__, tag="Logs")

_DATABASE_AWAY = failure_body(
    Unavailable.code,
    "The database is away; connect again.",
    "Send the id of the last event seen as Last-Event-ID, and nothing is missed.",
)


@blueprint.get("/jobs/<job_id>/logs", endpoint="job_log_page")
@blueprint.get("/train/<job_id>/logs")
@allows(Role.VIEWER)
@blueprint.input(LogsQuery, location="query", arg_name="query")
@answers(200, "With ``download``: all lines.", TEXT, "text/plain")
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


@blueprint.get("/jobs/<job_id>/logs/stream", endpoint="job_log_stream")
@blueprint.get("/train/<job_id>/logs/stream")
@allows(Role.VIEWER, ticket=True)
@blueprint.input(StreamQuery, location="query", arg_name="query")
@streams("Server-sent events; each event's data is a JSON object with its type.")
@reads_header("Last-Event-ID", "the id of the last event seen", pattern=EVENT_ID)
def log_stream(job_id: str, query: StreamQuery) -> Response:
    """Everything that a job says, live: from the beginning, or after the event last seen.

    Ends after the terminal status. ``Last-Event-ID`` wins over ``after``, so a browser's own
    reconnect goes on where it was.
    """
    _require_job(job_id)
    text = request.headers.get("Last-Event-ID") or query.after
    after = EventId.parse(text) if text else None
    return Streamed(_server_sent(state(), job_id, after), headers=sse.HEADERS)


def _server_sent(current: State, job_id: str, after: EventId | None) -> Iterator[str]:
    yield sse.json_event({"type": "connected", "job_id": job_id})
    try:
        with current.watchers.watching():
            for batch in current.hub.watch(job_id, after):
                yield _frame(current, job_id, batch) if batch else sse.PING
    except ServerStopping:
        yield sse.comment("the server is stopping, connect again")
    except StoreError:
        yield sse.json_event({"type": "error", **_DATABASE_AWAY})


def _frame(current: State, job_id: str, batch: list[Event]) -> str:
    text = current.texts.text
    return "".join(sse.event(text(job_id, event), id=str(event.id)) for event in batch)


def _as_file(job_id: str, lines: Iterator[dict[str, Any]]) -> Response:
    text = (f"{each['timestamp']} {each['level']:<7} {each['message']}\n" for each in lines)
    return Streamed(
        text,
        content_type="text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{job_id}.log"'},
    )


def _require_job(job_id: str) -> None:
    with state().reading() as session:
        jobs.get(session, job_id)
