"""OpenAI's error object, and the failures behind it."""

from __future__ import annotations

import pytest

from academy.errors import AcademyError, InvalidRequest, NotFound, Unavailable, failure_body
from academy.lifecycle import FailureCode
from academy.runtime.answers import problem
from academy.store.jobs.transitions import Failure
from academy.wire.openai_error import error_object, error_of, error_type


@pytest.mark.parametrize(
    ("status", "type"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (409, "conflict_error"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_each_status_has_one_type(status: int, type: str) -> None:
    assert error_type(status) == type
    assert error_object(status, "some_code", "It went wrong.")["type"] == type


def test_the_message_ends_with_the_way_out_and_the_field_is_named() -> None:
    errors = [{"pointer": "/messages/0/role", "detail": "unknown"}]
    found = error_of(InvalidRequest(detail="The role is unknown.", errors=errors))
    assert found == {
        "message": f"The role is unknown. {InvalidRequest.next_step}",
        "type": "invalid_request_error",
        "param": "messages.0.role",
        "code": "invalid_request",
    }
    assert error_of(NotFound(noun="model", id="x"))["param"] is None
    assert error_object(422, "c", "m", errors=[{"line": 3, "detail": "bad"}])["param"] is None


def test_the_model_server_adds_to_the_same_object_what_a_driver_needs() -> None:
    error = Unavailable(what="The model", why="it is loading")
    body = problem(error)["error"]
    assert {name: body[name] for name in error_of(error)} == error_of(error)
    assert (body["next_step"], body["fields"]) == (error.next_step, error.fields)


def test_a_failure_is_three_texts_whoever_shows_it() -> None:
    assert failure_body("some_code", None, None) == {
        "code": "some_code",
        "message": "",
        "next_step": "",
    }
    error = AcademyError(detail="it broke")
    assert error.failure() == failure_body(error.code, str(error), error.next_step)
    shown = Failure(FailureCode.STORAGE, "The disk is full.", "Free some.").body()
    assert shown == failure_body("storage", "The disk is full.", "Free some.")
    assert type(shown["code"]) is str


def test_an_error_that_is_answered_with_another_status_has_the_type_of_that() -> None:
    error = AcademyError(detail="nothing is there")
    assert error_of(error)["type"] == "server_error"
    assert problem(error, 404)["error"]["type"] == "not_found_error"
