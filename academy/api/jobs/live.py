"""A job's events, live: ``/jobs/{id}/logs/stream`` and ``…/logs/ws``, also below ``/train``."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response

from academy.access.keys import Role
from academy.events.event import START, EventId
from academy.store.jobs import jobs
from academy.web.declarations import reads_header, refuses, speaks_websocket, streams
from academy.web.live import answers
from academy.web.live.answers import Beginning
from academy.web.live.stream_query import EVENT_ID, StreamQuery
from academy.web.permissions import allows, declares, principal
from academy.web.state import state

blueprint = APIBlueprint("live", __name__, tag="Logs")
answers.look_after(blueprint)


@blueprint.get("/jobs/<job_id>/logs/stream", endpoint="job_log_stream")
@blueprint.get("/train/<job_id>/logs/stream")
@allows(Role.VIEWER, ticket=True)
@blueprint.input(StreamQuery, location="query", arg_name="query")
@streams("Server-sent events; each event's data is a JSON object with its type.")
@reads_header("Last-Event-ID", "the id of the last event seen", pattern=EVENT_ID)
@refuses(503)
def log_stream(job_id: str, query: StreamQuery) -> Response:
    """Everything that a job says, live: from the beginning, or after the event last seen.

    Ends after the terminal status. ``Last-Event-ID`` wins over ``after``, so a browser's own
    reconnect goes on where it was.
    """
    return answers.server_sent_events(lambda text: _begin(job_id, text), query, principal().key_id)


@blueprint.get("/jobs/<job_id>/logs/ws", endpoint="watch_job", websocket=True)
@blueprint.get("/train/<job_id>/logs/ws", endpoint="watch", websocket=True)
@declares(Role.VIEWER, ticket=True)  # which is checked where the socket can be closed with a code
@speaks_websocket("A websocket; each text frame is a JSON array of events.", StreamQuery)
def watch(job_id: str) -> Response:
    """Everything that a job says, live, as JSON arrays of events; ``?after=`` resumes.

    The first frame is ``[{"type": "connected", …}]``. The socket closes with 1000 after the
    terminal status, 4400 for a bad request, 4401 without a valid key or ticket, 4403 and 4404.
    """
    return answers.websocket(lambda text: _begin(job_id, text), "…/logs/stream")


def _begin(job_id: str, text: str | None) -> Beginning:
    """Raises `NotFound`, `InvalidRequest` or `FutureCursor`."""
    hub = state().hub
    if not hub.is_followed(job_id):  # a job that somebody watches is there
        with state().reading() as session:
            jobs.get(session, job_id)
    after = EventId.parse(text) if text else START
    hub.require_past(job_id, after)
    return Beginning(hub.job(job_id), after, {"job_id": job_id})
