"""What changes, live: ``/events/ws``, ``/events/stream``, and in pages."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response
from pydantic import Field

from academy.access.keys import Role
from academy.events.changes import ChangeEvents
from academy.events.event import START, EventId
from academy.web.declarations import reads_header, refuses, speaks_websocket, streams
from academy.web.live import answers
from academy.web.live.answers import Beginning
from academy.web.live.stream_query import AFTER, EVENT_ID, StreamQuery
from academy.web.permissions import allows, declares, principal
from academy.web.shapes import Sent, Shown
from academy.web.state import state

blueprint = APIBlueprint("events", __name__, tag="Events")
answers.look_after(blueprint)


class EventsQuery(Sent):
    """Which changes."""

    after: str | None = AFTER
    limit: int = Field(50, ge=1, le=500, description="how many at most")


class EventsPage(Shown):
    """A part of what changed, oldest first."""

    count: int
    events: list[dict[str, Any]] = Field(description="as the streams have them")
    has_more: bool
    next: str | None = Field(description="the 'after' of the next page")


@blueprint.get("/events")
@allows(Role.VIEWER)
@blueprint.input(EventsQuery, location="query", arg_name="query")
@blueprint.output(EventsPage)
def event_page(query: EventsQuery) -> Any:
    """What changed, oldest first, from the first that is kept or after the one seen last."""
    source = ChangeEvents(state().sessions)
    after = source.require_past(EventId.parse(query.after)) if query.after else START
    found = source.read(after, query.limit + 1).events
    shown = found[: query.limit]
    return {
        "count": len(shown),
        "events": [each.as_dict() for each in shown],
        "has_more": len(found) > query.limit,
        "next": str(shown[-1].id) if shown else (query.after or None),
    }


@blueprint.get("/events/stream")
@allows(Role.VIEWER, ticket=True)
@blueprint.input(StreamQuery, location="query", arg_name="query")
@streams("Server-sent events; each event's data is a JSON object with its type.")
@reads_header("Last-Event-ID", "the id of the last event seen", pattern=EVENT_ID)
@refuses(503)
def event_stream(query: StreamQuery) -> Response:
    """Every change of a job, adapter, alias, dataset or worker from now on, or after a cursor.

    ``0-0`` is the first that is kept. The first event tells the cursor of the beginning.
    """
    return answers.server_sent_events(_begin, query, principal().key_id)


@blueprint.get("/events/ws", websocket=True)
@declares(Role.VIEWER, ticket=True)  # which is checked where the socket can be closed with a code
@speaks_websocket("A websocket; each text frame is a JSON array of events.", StreamQuery)
def watch_events() -> Response:
    """The same as JSON arrays of events; ``?after=`` resumes."""
    return answers.websocket(_begin, "/events/stream")


def _begin(text: str | None) -> Beginning:
    """Raises `InvalidRequest` or `FutureCursor`."""
    source = ChangeEvents(state().sessions)
    after = source.require_past(EventId.parse(text)) if text else source.newest()
    return Beginning(source, after, {"last_event_id": str(after)})
