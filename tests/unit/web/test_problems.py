"""Problems of the web server itself are named like our own."""

from __future__ import annotations

import pytest
from flask import Flask
from werkzeug.exceptions import HTTPException, abort

from academy.web import problems


@pytest.mark.parametrize(
    ("status", "code", "type"),
    [
        (400, "invalid_request", "invalid_request_error"),
        (401, "unauthorized", "authentication_error"),
        (403, "forbidden", "permission_error"),
        (404, "not_found", "not_found_error"),
        (409, "conflict", "conflict_error"),
        (413, "body_too_large", "invalid_request_error"),
        (415, "unsupported_media_type", "invalid_request_error"),
        (416, "range_not_satisfiable", "invalid_request_error"),
        (422, "invalid_request", "invalid_request_error"),
        (500, "internal_error", "server_error"),
        (503, "unavailable", "server_error"),
    ],
)
def test_each_status_of_the_web_server_has_one_code_and_one_type(
    status: int, code: str, type: str
) -> None:
    app = Flask("problems")
    problems.register(app)

    @app.get("/")
    def refuse() -> HTTPException:
        abort(status)

    answer = app.test_client().get("/")
    assert answer.status_code == status and answer.mimetype == problems.MEDIA_TYPE
    assert answer.json["code"] == answer.json["error"]["code"] == code
    assert answer.json["error"]["type"] == type
    assert answer.json["next_step"]
