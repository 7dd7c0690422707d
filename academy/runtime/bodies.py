"""Reading a request's JSON body, as strictly as the API does."""

from __future__ import annotations

from typing import Any

from flask import request

from academy.errors import MOST_SENT_CHARACTERS, AcademyError, shown
from academy.wire.json_rules import MOST_VALUES
from academy.wire.strict_json import JsonFault, read_json


class BadJson(AcademyError):
    """The body must be a JSON object; {why}."""

    code = "invalid_request"
    status = 400
    next_step = "Send a JSON object with the header 'Content-Type: application/json'."


def json_body() -> dict[str, Any]:
    """The request's body, decoded. Raises `BadJson`."""
    if not request.is_json:
        raise BadJson(
            why=f"its Content-Type is {shown(request.content_type, MOST_SENT_CHARACTERS)!r}"
        )
    try:
        body = read_json(request.get_data(), nul=True, most_values=MOST_VALUES)
    except JsonFault as fault:
        raise BadJson(why=f"it is not JSON as it has to be: {fault.why}") from None
    if not isinstance(body, dict):
        raise BadJson(why=f"it is a {type(body).__name__}")
    return body
