"""``WS /jobs/{id}/logs/ws``, also below ``/train``: a job's events, live, as JSON arrays."""

from __future__ import annotations

from apiflask import APIBlueprint
from flask import Response, json, request
from flask_sock import Sock
from pydantic import ValidationError
from simple_websocket import ConnectionClosed, Server
from wsproto.utilities import RemoteProtocolError

from academy.access.keys import Role
from academy.api.jobs.logs_shapes import StreamQuery
from academy.errors import MOST_SENT_CHARACTERS, AcademyError, InvalidRequest, shortened
from academy.events.event import EventId, timestamp
from academy.store.engine import StoreError
from academy.store.jobs import jobs
from academy.web import problems
from academy.web.declarations import speaks_websocket
from academy.web.permissions import declares, identify
from academy.web.sockets import close_reason, let_go, prepare
from academy.web.state import state
from academy.web.watchers import ServerStopping

blueprint = APIBlueprint("sockets", __name__, tag="Logs")
sock = Sock()

NORMAL, GOING_AWAY, TRY_AGAIN = 1000, 1001, 1013
BAD_REQUEST, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 4400, 4401, 4403, 4404
_CLOSE_CODES = {401: UNAUTHORIZED, 403: FORBIDDEN, 404: NOT_FOUND}


@blueprint.before_request
def _before_the_handshake() -> None:
    prepare(request)


@blueprint.teardown_request
def _afterwards(_: BaseException | None) -> None:
    let_go(request)


@blueprint.errorhandler(RemoteProtocolError)
@blueprint.errorhandler(ConnectionError)
def _no_handshake(error: Exception) -> Response:
    """What simple-websocket raises where wsproto finds no handshake, or refuses one."""
    why = shortened(str(error) or "a header is missing or wrong", MOST_SENT_CHARACTERS)
    refused = InvalidRequest(
        detail=f"The handshake of the websocket was refused: {why}.",
        errors=[{"detail": "refused", "allowed": "a handshake as in RFC 6455, section 4.1"}],
    )
    return problems.of_academy(refused)


@declares(Role.VIEWER, ticket=True)  # it checks the key itself: see `_admit`
@speaks_websocket("A websocket; each text frame is a JSON array of events.", StreamQuery)
def watch(ws: Server, job_id: str) -> None:
    """Everything that a job says, live, as JSON arrays of events; ``?after=`` resumes.

    The first frame is ``[{"type": "connected", …}]``. The socket closes with 1000 after the
    terminal status, 4400 for a bad request, 4401 without a valid key or ticket, 4403 and 4404.
    """
    try:
        after = _admit(job_id)
        _send_events(ws, job_id, after)
        ws.close(NORMAL, "the job is over")
    except AcademyError as error:
        code = _CLOSE_CODES.get(error.status, BAD_REQUEST)
        if error.status >= 500:
            code = TRY_AGAIN
        ws.close(code, close_reason(f"{error.code}: {error}"))
    except StoreError:
        ws.close(TRY_AGAIN, "the database is away; connect again")
    except ServerStopping:
        ws.close(GOING_AWAY, "the server is stopping; connect again")
    except TimeoutError:
        # The watcher stopped reading; flask-sock closes what is left of the connection.
        raise ConnectionClosed(TRY_AGAIN, "nothing was read for too long") from None


# Not as decorators: flask-sock's would wrap one socket into the other.
for _path, _endpoint in (
    ("/jobs/<job_id>/logs/ws", "watch_job"),
    ("/train/<job_id>/logs/ws", "watch"),
):
    sock.route(_path, bp=blueprint, endpoint=_endpoint)(watch)


def _admit(job_id: str) -> EventId | None:
    """Who watches what from where; raises what `watch` turns into a close code."""
    try:
        query = StreamQuery.model_validate(request.args.to_dict())
    except ValidationError as error:
        name = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InvalidRequest(detail=f"the query parameter {name!r} was refused") from None
    identify(ticket=True).require(Role.VIEWER)
    with state().reading() as session:
        jobs.get(session, job_id)
    return EventId.parse(query.after) if query.after else None


def _send_events(ws: Server, job_id: str, after: EventId | None) -> None:
    hello = {"type": "connected", "job_id": job_id, "timestamp": timestamp()}
    ws.send(json.dumps([hello]))
    texts = state().texts
    with state().watchers.watching():
        for batch in state().hub.watch(job_id, after):
            # What a watcher says is not listened to, but it must not pile up.
            while ws.receive(timeout=0) is not None:
                pass
            if batch:
                ws.send(texts.frame(job_id, batch))
