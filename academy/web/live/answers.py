"""Answers that go on after their request: a stream of one source's events, in either form.

A view says who may watch what from where, by a function that is called once the request is known to
be one; here stands how the answer begins, is refused, and is handed over to the switchboard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from socket import socket
from typing import Any, NamedTuple

from flask import Blueprint, Response, g, request
from pydantic import ValidationError

from academy.access.keys import Role
from academy.errors import AcademyError, InvalidRequest
from academy.events.event import START, EventId, timestamp
from academy.events.feed import Feed
from academy.events.sources import Source
from academy.store.engine import StoreError
from academy.web.live import encodings
from academy.web.live.handed_over import HandedOver, can_hand_over
from academy.web.live.handshake import Handshake
from academy.web.live.places import Place, TooManyWatchers
from academy.web.live.stream_query import StreamQuery
from academy.web.live.watcher import Incoming, Watcher
from academy.web.permissions import identify
from academy.web.state import State, state
from academy.web.streamed import Streamed
from academy.wire import sse

BAD_REQUEST, FORBIDDEN, NOT_FOUND = 4400, 4403, 4404
_CLOSE_CODES = {401: encodings.UNAUTHORIZED, 403: FORBIDDEN, 404: NOT_FOUND}


class Beginning(NamedTuple):
    """Where a watcher begins, and what it is told first, beside the type and the time."""

    source: Source
    after: EventId
    hello: Mapping[str, str]


#: Finds the beginning for a cursor as it was sent, if any; raises what the watcher is refused for.
Begin = Callable[[str | None], Beginning]


class _Admitted(NamedTuple):
    """A watcher that has a place and is counted by the hub."""

    feed: Feed
    beginning: Beginning
    place: Place


def look_after(blueprint: Blueprint) -> None:
    """Have those who were admitted by its views, and did not come in after all, take no place."""
    blueprint.teardown_request(_let_go)


def _let_go(_: BaseException | None) -> None:
    admitted: _Admitted | None = g.pop("admitted", None)
    if admitted is not None:
        state().switchboard.places.give_back(admitted.place)
        state().hub.leave(admitted.feed)


def server_sent_events(begin: Begin, query: StreamQuery, key_id: str) -> Response:
    """The stream as server-sent events; ``Last-Event-ID`` wins over the query's ``after``."""
    current = state()
    beginning = _admit(current, begin(request.headers.get("Last-Event-ID") or query.after), key_id)
    if request.method == "HEAD" or not can_hand_over(request.environ):
        return Streamed(_pieces(current, beginning), headers=sse.HEADERS)
    is_chunked = request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1"
    encoding = encodings.SSE if is_chunked else encodings.SSE_UNCHUNKED
    headers = {**sse.HEADERS, "Connection": "close"}
    if is_chunked:
        headers["Transfer-Encoding"] = "chunked"
    return HandedOver(
        lambda connection: _come_in(current, connection, encoding), 200, headers.items()
    )


def websocket(begin: Begin, instead: str) -> Response:
    """The stream as a websocket, whose query and key are looked at here.

    What is wrong with either is told by a close code, which a browser shows to its page, as it does
    not the status of a handshake that failed. `instead` is what speaks without websockets.
    """
    current, handshake = state(), Handshake(request)
    if not can_hand_over(request.environ):
        raise InvalidRequest(detail=f"This server speaks no websocket; use {instead}.")
    encoding = encodings.WEBSOCKET_COMPRESSED if handshake.is_compressed else encodings.WEBSOCKET
    refused = _refused(current, begin)

    def take(connection: socket) -> None:
        incoming = Incoming(handshake.extensions())
        if refused is None:
            _come_in(current, connection, encoding, incoming)
            return
        tell = current.switchboard.tell
        watcher = Watcher(connection, encoding, START, tell, incoming=incoming)
        current.switchboard.dismiss(watcher, *refused)

    return HandedOver(take, 101, handshake.headers())


def _refused(current: State, begin: Begin) -> tuple[int, str] | None:
    """Admit who asks for a websocket; else the code and the reason to close it with."""
    try:
        query = _query()
        who = identify(ticket=True)
        who.require(Role.VIEWER)
        _admit(current, begin(query.after), who.key_id)
    except TooManyWatchers:
        raise  # the handshake itself is refused, with the time after which to try again
    except AcademyError as error:
        other = BAD_REQUEST if error.status < 500 else encodings.TRY_AGAIN
        return _CLOSE_CODES.get(error.status, other), f"{error.code}: {error}"
    except StoreError:
        return encodings.TRY_AGAIN, encodings.DATABASE_AWAY
    return None


def _query() -> StreamQuery:
    try:
        return StreamQuery.model_validate(request.args.to_dict())
    except ValidationError as error:
        name = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InvalidRequest(detail=f"the query parameter {name!r} was refused") from None


def _admit(current: State, beginning: Beginning, key_id: str) -> Beginning:
    """Take a place, and count the watcher in."""
    place = current.switchboard.places.take(key_id, request.remote_addr or "")
    try:
        feed = current.hub.join(beginning.source)
    except BaseException:
        current.switchboard.places.give_back(place)
        raise
    g.admitted = _Admitted(feed, beginning, place)
    return beginning


def _come_in(
    current: State,
    connection: socket,
    encoding: encodings.Encoding,
    incoming: Incoming | None = None,
) -> None:
    """Have the one who was admitted watch over this connection."""
    admitted: _Admitted = g.admitted
    watcher = Watcher(
        connection,
        encoding,
        admitted.beginning.after,
        current.switchboard.tell,
        place=admitted.place,
        incoming=incoming,
    )
    del g.admitted  # from here on the switchboard counts it out
    watcher.send(encoding.hello(_hello(admitted.beginning)), time.monotonic())
    current.switchboard.connect(watcher, admitted.feed)


def _hello(beginning: Beginning) -> dict[str, Any]:
    return {"type": "connected", **beginning.hello, "timestamp": timestamp()}


def _pieces(current: State, beginning: Beginning) -> Iterator[bytes]:
    """Server-sent events where the server does not let go of its connections."""
    encoding = encodings.SSE_UNCHUNKED
    yield encoding.hello(_hello(beginning))
    try:
        for batch in current.hub.watch(beginning.source, beginning.after):
            yield encoding.events(batch) if batch else encoding.ping()
    except (StoreError, AcademyError) as error:
        yield encoding.end(encodings.TRY_AGAIN, encodings.away(error))
