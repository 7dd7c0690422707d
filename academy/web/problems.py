"""Every error as ``application/problem+json`` (RFC 9457), with OpenAI's ``error`` beside it.

OpenAI's clients read ``error.message``, ``type``, ``param`` and ``code`` and raise exceptions of
their own from them; everybody else reads ``title``, ``detail`` and ``errors``. A stack trace goes
to the log and never into an answer.
"""

from __future__ import annotations

import logging
import os
from http import HTTPStatus
from typing import Any

import redis
from flask import Flask, Response, g, has_app_context, json, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge
from werkzeug.routing import WebsocketMismatch

from academy.errors import (
    MOST_SENT_CHARACTERS,
    AcademyError,
    StorageFull,
    Unavailable,
    shortened,
    shown,
)
from academy.host.disks import NO_ROOM
from academy.store.outage import is_full, is_outage
from academy.wire.openai_error import error_object

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

#: The codes of what the web server itself finds wrong, spelled as our own errors of that kind.
#: Other statuses have HTTP's words, of which some differ from one release of Python to the next.
HTTP_CODES = {
    400: "invalid_request",
    412: "precondition_failed",
    413: "body_too_large",
    414: "uri_too_long",
    416: "range_not_satisfiable",
    422: "invalid_request",
    500: AcademyError.code,
    503: Unavailable.code,
}

#: What to do about the errors that the web server itself finds.
_HTTP_NEXT_STEPS = {
    404: "Look at /openapi.json for the paths that there are.",
    405: "Use one of the methods that the Allow header names.",
    412: "Ask without If-Match, or with the ETag that is sent now.",
    413: "Send less at once, or raise ACADEMY_MAX_BODY_BYTES.",
}


def register(app: Flask) -> None:
    """Answer every error of `app` as a problem."""
    # APIFlask registers a handler of its own for this class; the later one of a class wins.
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(AcademyError, of_academy)
    app.register_error_handler(Exception, _of_anything)


def of_academy(error: AcademyError) -> Response:
    """The answer for one of our own errors."""
    if error.status >= 500:
        logger.warning(
            "A request failed: %s", error, extra={"code": error.code, "request_id": _request_id()}
        )
    answer = problem(
        error.status,
        error.code,
        str(error),
        next_step=error.next_step,
        errors=getattr(error, "errors", None),
        members=getattr(error, "members", None),
    )
    answer.headers.extend(getattr(error, "headers", {}))
    if error.status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="academy"'
    if error.status == 503:
        seconds = getattr(error, "retry_after_seconds", None) or 2
        answer.headers["Retry-After"] = str(seconds)
    return answer


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    next_step: str,
    errors: list[dict[str, Any]] | None = None,
    members: dict[str, Any] | None = None,
) -> Response:
    """A problem answer; `errors` holds a pointer or line, what was wrong and what is allowed.

    `members` are further members of this kind of problem (RFC 9457, section 3.2).
    """
    body = problem_body(status, code, detail, next_step=next_step, errors=errors)
    body |= members or {}
    return Response(json.dumps(body), status=status, content_type=MEDIA_TYPE)


def problem_body(
    status: int,
    code: str,
    detail: str,
    *,
    next_step: str,
    errors: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """The members of a problem answer."""
    errors = [{name: shown(each) for name, each in error.items()} for error in (errors or [])]
    return {
        "type": f"urn:academy:problem:{code}",
        "title": title_of(status),
        "status": status,
        "detail": detail,
        "code": code,
        "next_step": next_step,
        "request_id": _request_id(),
        "errors": errors,
        "error": error_object(status, code, detail, next_step, errors),
    }


def _of_http(error: HTTPException) -> Response:
    """The answer for what Werkzeug and Flask found wrong."""
    status = error.code or 500
    detail = f"{error.description}"
    if status == 404:
        detail = f"There is nothing at {_path()}."
    elif isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        detail = f"{request.method} is not allowed at {_path()}; allowed: {allowed}."
    elif isinstance(error, RequestEntityTooLarge):
        limit = (request.max_content_length or 1) - 1  # see `academy.api.app`
        detail = f"The body is larger than the {limit} bytes that are allowed."
    elif isinstance(error, WebsocketMismatch):
        detail = (
            f"{_path()} speaks websocket, and nothing else; the same events are server-sent events"
            f" at {_beside('stream')} and a list at {_beside('')}."
        )
    answer = of_server(status, detail)
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            answer.headers[name] = value
    return answer


def _beside(name: str) -> str:
    """The path of the request with another last part, or without one."""
    shown = _path().rpartition("/")[0]
    return f"{shown}/{name}" if name else shown


def _of_anything(error: Exception) -> Response:
    """The answer for what nobody foresaw: the log gets all, the client the request's id."""
    if (full := _full(error)) is not None:
        return of_academy(full)
    if is_outage(error):
        logger.warning(
            "PostgreSQL cannot be reached: %s", error, extra={"request_id": _request_id()}
        )
        return of_academy(Unavailable(what="The database", why="it is away or too busy just now"))
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return of_academy(Unavailable(what="Redis", why="it is away or too busy just now"))
    logger.error(
        "A request met an error that nobody foresaw.",
        exc_info=error,
        extra={"request_id": _request_id(), "path": request.path, "method": request.method},
    )
    return unforeseen()


def unforeseen() -> Response:
    """The answer for an error of which the log tells everything, and the client nothing."""
    return problem(
        AcademyError.status,
        AcademyError.code,
        "The server met an error that nobody foresaw.",
        next_step=AcademyError.next_step,
    )


def of_server(status: int, detail: str) -> Response:
    """The answer for what the web server itself finds wrong with a request."""
    next_step = _HTTP_NEXT_STEPS.get(status, "Correct the request and send it again.")
    return problem(status, _code_of(status), detail, next_step=next_step)


def _full(error: Exception) -> StorageFull | None:
    """What to tell if the error says that there is no room to write.

    The log has the rest; the name of a file is nobody else's business.
    """
    if is_full(error):
        logger.warning("PostgreSQL has no room to write: %s", error)
        return StorageFull(what="The database", why="its disk is full")
    if isinstance(error, redis.ResponseError) and str(error).startswith("MISCONF"):
        logger.warning("Redis has no room to write: %s", error)
        return StorageFull(what="Redis", why="its disk is full")
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        logger.warning("A file cannot be written: %s", error)
        return StorageFull(what="The server", why=os.strerror(error.errno).lower())
    return None


def _code_of(status: int) -> str:
    """The code of what the web server itself finds wrong."""
    return HTTP_CODES.get(status) or title_of(status).lower().replace(" ", "_")


def title_of(status: int) -> str:
    """HTTP's own words for a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _path() -> str:
    return shortened(request.path, MOST_SENT_CHARACTERS)


def _request_id() -> str | None:
    return getattr(g, "request_id", None) if has_app_context() else None
