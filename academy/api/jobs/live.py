"""A job's events, live: ``/jobs/{id}/logs/stream`` and ``…/logs/ws``, also below ``/train``.

Both are answered by the switchboard; here stand who may watch what, and from where.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from socket import socket
from typing import NamedTuple

from apiflask import APIBlueprint
from flask import Response, g, request
from pydantic import ValidationError

from academy.access.keys import Role
from academy.api.jobs.logs_shapes import EVENT_ID, StreamQuery
from academy.errors import AcademyError, InvalidRequest, Unavailable, failure_body
from academy.events.event import START, Event, EventId, timestamp
from academy.events.feed import Feed
from academy.store.engine import StoreError
from academy.store.jobs import jobs
from academy.web.declarations import reads_header, refuses, speaks_websocket, streams
from academy.web.live import encodings
from academy.web.live.handed_over import HandedOver, can_hand_over
from academy.web.live.handshake import Handshake
from academy.web.live.places import Place, TooManyWatchers
from academy.web.live.watcher import Incoming, Watcher
from academy.web.permissions import allows, declares, identify, principal
from academy.web.state import State, state
from academy.web.streamed import Streamed
from academy.wire import sse

blueprint = APIBlueprint("live", __name__, tag="Logs")

BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 4400, 4401, 4403, 4404
_CLOSE_CODES = {401: UNAUTHORIZED, 403: FORBIDDEN, 404: NOT_FOUND}

_DATABASE_AWAY = failure_body(
    Unavailable.code,
    "The database is away; connect again.",
    "Send the id of the last event seen as Last-Event-ID, and nothing is missed.",
)


class _Admitted(NamedTuple):
    """A watcher that may come in: what it watches, and from where."""

    feed: Feed
    after: EventId
    place: Place


@blueprint.teardown_request
def _let_go(_: BaseException | None) -> None:
    """Who was admitted and did not come in after all takes no place."""
    admitted: _Admitted | None = g.pop("admitted", None)
    if admitted is not None:
        state().switchboard.places.give_back(admitted.place)
        state().hub.leave(admitted.feed)


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
    current = state()
    text = request.headers.get("Last-Event-ID") or query.after
    after = _admit(current, job_id, text, principal().key_id)
    hello = {"type": "connected", "job_id": job_id}
    if request.method == "HEAD" or not can_hand_over(request.environ):
        return Streamed(_server_sent(current, job_id, after), headers=sse.HEADERS)
    is_chunked = request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
    encoding = encodings.SSE if is_chunked else encodings.SSE_UNCHUNKED
    headers = {**sse.HEADERS, "Connection": "close"}
    if is_chunked:
        headers["Transfer-Encoding"] = "chunked"

    return HandedOver(
        lambda connection: _begin(current, connection, encoding, hello), 200, headers.items()
    )


@blueprint.get("/jobs/<job_id>/logs/ws", endpoint="watch_job", websocket=True)
@blueprint.get("/train/<job_id>/logs/ws", endpoint="watch", websocket=True)
@declares(Role.VIEWER, ticket=True)  # it checks the key itself: see `_admit_to_socket`
@speaks_websocket("A websocket; each text frame is a JSON array of events.", StreamQuery)
def watch(job_id: str) -> Response:
    """Everything that a job says, live, as JSON arrays of events; ``?after=`` resumes.

    The first frame is ``[{"type": "connected", …}]``. The socket closes with 1000 after the
    terminal status, 4400 for a bad request, 4401 without a valid key or ticket, 4403 and 4404.
    """
    current, handshake = state(), Handshake(request)
    if not can_hand_over(request.environ):
        raise InvalidRequest(detail="This server speaks no websocket; use …/logs/stream.")
    encoding = encodings.WEBSOCKET_COMPRESSED if handshake.is_compressed else encodings.WEBSOCKET
    refused = (0, "")
    try:
        _admit_to_socket(current, job_id)
    except TooManyWatchers:
        raise  # the handshake itself is refused, with the time after which to try again
    except AcademyError as error:
        code = _CLOSE_CODES.get(
            error.status, BAD_REQUEST if error.status < 500 else encodings.TRY_AGAIN
        )
        refused = (code, f"{error.code}: {error}")
    except StoreError:
        refused = (encodings.TRY_AGAIN, "the database is away; connect again")
    hello = {"type": "connected", "job_id": job_id, "timestamp": timestamp()}

    def take(connection: socket) -> None:
        incoming = Incoming(handshake.extensions())
        if not refused[0]:
            _begin(current, connection, encoding, hello, incoming)
            return
        tell = current.switchboard.tell
        watcher = Watcher(connection, encoding, START, tell, incoming=incoming)
        current.switchboard.dismiss(watcher, *refused)

    return HandedOver(take, 101, handshake.headers())


def _begin(
    current: State,
    connection: socket,
    encoding: encodings.Encoding,
    hello: dict[str, str],
    incoming: Incoming | None = None,
) -> None:
    """Have the one who was admitted watch over this connection."""
    admitted: _Admitted = g.pop("admitted")
    watcher = Watcher(
        connection,
        encoding,
        admitted.after,
        current.switchboard.tell,
        place=admitted.place,
        incoming=incoming,
    )
    watcher.send(encoding.hello(hello), time.monotonic())
    current.switchboard.connect(watcher, admitted.feed)


def _admit_to_socket(current: State, job_id: str) -> None:
    """As `_admit`, for one whose query and key nobody looked at yet."""
    try:
        query = StreamQuery.model_validate(request.args.to_dict())
    except ValidationError as error:
        name = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InvalidRequest(detail=f"the query parameter {name!r} was refused") from None
    who = identify(ticket=True)
    who.require(Role.VIEWER)
    _admit(current, job_id, query.after, who.key_id)


def _admit(current: State, job_id: str, text: str | None, key_id: str) -> EventId:
    """Take a place, and count the watcher in; its cursor. Raises what it is refused for."""
    if not current.hub.is_followed(job_id):  # a job that somebody watches is there
        with current.reading() as session:
            jobs.get(session, job_id)
    after = EventId.parse(text) if text else START
    current.hub.require_past(job_id, after)
    place = current.switchboard.places.take(key_id, request.remote_addr or "")
    try:
        feed = current.hub.join(current.hub.job(job_id))
    except BaseException:
        current.switchboard.places.give_back(place)
        raise
    g.admitted = _Admitted(feed, after, place)
    return after


def _server_sent(current: State, job_id: str, after: EventId) -> Iterator[str]:
    """The stream where the server does not let go of its connections."""
    yield sse.json_event({"type": "connected", "job_id": job_id})
    try:
        for batch in current.hub.watch(job_id, after):
            yield _texts(batch) if batch else sse.PING
    except StoreError:
        yield sse.json_event({"type": "error", **_DATABASE_AWAY})


def _texts(batch: list[Event]) -> str:
    return "".join(sse.event(each.to_json(), id=str(each.id)) for each in batch)
