"""What a driver makes of a model server's error."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from academy.errors import AcademyError, InvalidRequest
from academy.runtime.adapters_view import PathOutside
from academy.runtime.answers import problem
from academy.runtime.bodies import BadJson
from academy.runtime.errors import AdapterNotLoaded, Busy
from academy.serving.drivers.remote import Remote


@pytest.fixture
def remote() -> Iterator[Remote]:
    made = Remote("http://127.0.0.1:9", {})
    yield made
    made.close()


def refusal(remote: Remote, error: AcademyError) -> AcademyError:
    answer = httpx.Response(error.status, json=problem(error))
    return remote.refusal(answer, "some-model")


def test_a_known_error_is_raised_again_as_it_was(remote: Remote) -> None:
    for error in (AdapterNotLoaded(name="a", known="nothing"), Busy(why="it loads")):
        again = refusal(remote, error)
        assert type(again) is type(error) and str(again) == str(error)


def test_the_words_of_another_one_are_passed_on_without_its_way_out(remote: Remote) -> None:
    # The message of OpenAI's object ends with it, and what is raised here has one of its own.
    for error in (PathOutside(path="/etc"), BadJson(why="it is a list")):
        again = refusal(remote, error)
        assert str(error) in str(again)
        assert error.next_step not in str(again)
    assert isinstance(refusal(remote, BadJson(why="it is a list")), InvalidRequest)
