"""Reading a request's JSON body."""

from __future__ import annotations

from typing import Any

from flask import request

from academy.errors import AcademyError


class BadJson(AcademyError):
    """The body must be a JSON object; {why}."""

    code = "invalid_request"
    status = 400
    next_step = "Send a JSON object with the header 'Content-Type: application/json'."


def json_body() -> dict[str, Any]:
    """The request's body, decoded. Raises `BadJson`."""
    if not request.is_json:
        raise BadJson(why=f"its Content-Type is {request.content_type!r}")
    body = request.get_json(silent=True)
    if not isinstance(body, dict):
        kind = "not JSON" if body is None else f"a {type(body).__name__}"
        raise BadJson(why=f"it is {kind}")
    return body
