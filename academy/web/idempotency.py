"""Creating things exactly once: ``Idempotency-Key``.

The reservation, the work and the remembered answer share one transaction. A server that is killed
in between leaves either all of it or nothing; the advisory lock goes with its connection.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Response, current_app, json, jsonify, request

from academy.errors import AcademyError, InvalidRequest
from academy.store.access import access
from academy.store.engine import Session, autocommit
from academy.web.declarations import View, declaration_of, reads_header, refuses
from academy.web.permissions import principal
from academy.web.state import state
from academy.web.strict_json import body_of

HEADER = "Idempotency-Key"


class IdempotencyKeyReused(AcademyError):
    """The Idempotency-Key {key!r} was used within 24 hours for another request."""

    code = "idempotency_key_reused"
    status = 422
    next_step = "Use a new key for a new request, or send exactly the first body again."


class RequestInFlight(AcademyError):
    """A request with the Idempotency-Key {key!r} is being answered just now."""

    code = "request_in_flight"
    status = 409
    next_step = "Wait a moment and send the same request again to get its answer."


def creates(view: View) -> View:
    """The view takes an ``Idempotency-Key``: it does its work by `idempotent`."""
    meaning = "the same key and body give the first answer again, for 24 hours"
    return reads_header(HEADER, meaning)(refuses(409, 422)(view))


@dataclass(frozen=True)
class Answer:
    """A status and a JSON body; `headers` are made again from them for a repetition."""

    body: dict[str, Any]
    status: int = 201
    headers: dict[str, str] = field(default_factory=dict)
    replayed: bool = False

    def response(self) -> Response:
        made = jsonify(self.body)
        made.status_code = self.status
        made.headers.extend(self.headers)
        if self.replayed:
            made.headers["Idempotency-Replayed"] = "true"
        return made


def idempotent(
    work: Callable[[Session], Answer],
    *,
    hide: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    body_sha256: str | None = None,
    writes_once: bool = False,
) -> Answer:
    """Do `work` in one transaction, or give its first answer again.

    Without an ``Idempotency-Key`` it is simply done; then no transaction is opened for work that
    `writes_once`, by one statement. `hide` takes out of the remembered answer what
    may not be stored, such as a key's secret; `body_sha256` stands for a body that the view reads
    itself. The view has to say that it `creates`. Raises `IdempotencyKeyReused` or
    `RequestInFlight`.
    """
    _require_declared()
    key = request.headers.get(HEADER)
    if key is None:
        sessions = state().sessions
        with autocommit(sessions) if writes_once else sessions.begin() as session:
            return work(session)
    with state().sessions.begin() as session:
        _require_usable(key)
        owner, body_sha256 = principal().key_id, body_sha256 or _fingerprint()
        if not access.lock_request(session, owner, key):
            raise RequestInFlight(key=key)
        first = access.find_request(session, owner, key)
        if first is not None:
            if (first.route, first.body_sha256) != (_route(), body_sha256):
                raise IdempotencyKeyReused(key=key)
            stored = first.answer
            return Answer(stored["body"], first.status, stored["headers"], replayed=True)
        answer = work(session)
        # Dates become text now, as they will be in the answer.
        body = json.loads(json.dumps(hide(answer.body) if hide else answer.body))
        access.remember_request(
            session,
            owner=owner,
            key=key,
            route=_route(),
            body_sha256=body_sha256,
            status=answer.status,
            answer={"body": body, "headers": answer.headers},
        )
        return answer


def publish_hints() -> None:
    """After the commit: have the broker told at once, so that the job need not wait."""
    state().hints.wake()


def _require_declared() -> None:
    """So that what the OpenAPI document says of the header cannot differ from what is done."""
    view = current_app.view_functions[str(request.endpoint)]
    if HEADER not in declaration_of(view).headers:
        raise RuntimeError(f"{request.endpoint} is idempotent, but lacks @creates.")


def _route() -> str:
    return f"{request.method} {request.path}"


def _fingerprint() -> str:
    """The body's hash: of its canonical JSON, so that spacing and order do not matter."""
    raw = body_of(request)
    if request.is_json and raw.strip():
        raw = json.dumps(json.loads(raw), sort_keys=True).encode()
    return hashlib.sha256(raw).hexdigest()


def _require_usable(key: str) -> None:
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise InvalidRequest(
            detail="The Idempotency-Key must be 1 to 255 printable ASCII characters.",
            errors=[{"header": HEADER, "detail": "refused", "allowed": "1 to 255 characters"}],
        )
