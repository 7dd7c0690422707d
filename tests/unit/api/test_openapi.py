"""The OpenAPI document is written from what endpoints declare of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from apiflask import APIBlueprint, APIFlask
from flask import Response

from academy.access.keys import Role
from academy.api import openapi
from academy.api.app import create_app
from academy.settings import Settings
from academy.web.declarations import TEXT, answers, reads_body, reads_header, refuses, streams
from academy.web.idempotency import HEADER, Answer, creates, idempotent
from academy.web.permissions import allows
from academy.web.shapes import Sent, Shown


class Wish(Sent):
    """What is sent."""

    text: str


class Granted(Shown):
    """What is answered."""

    text: str


class Late(Shown):
    """What is answered later."""

    status: str


blueprint = APIBlueprint("wishes", __name__, tag="Wishes")


@blueprint.post("/wishes/<name>")
@allows(Role.OPERATOR, ticket=True)
@creates
@reads_header("Prefer", "how long to wait")
@answers(202, "It takes longer.", Late)
@refuses(507)
@blueprint.input(Wish, arg_name="wish")
@blueprint.output(Granted, status_code=201)
def make_wish(name: str, wish: Wish) -> Response:
    """Make a wish."""
    return Response()


@blueprint.get("/wishes")
@allows(Role.VIEWER)
@streams("Wishes, one an event.")
def watch_wishes() -> Response:
    """All wishes."""
    return Response()


@blueprint.put("/wishes")
@allows(None)
@reads_body({"text/plain": TEXT, "application/json": Wish})
@blueprint.output(Granted)
@streams("Or as a stream.")
def replace_wishes() -> Response:
    """Other wishes."""
    return idempotent(lambda session: Answer({})).response()


@pytest.fixture(scope="module")
def app() -> APIFlask:
    made = APIFlask("wishes", spec_path="/openapi.json", docs_path=None)
    openapi.configure(made)
    made.register_blueprint(blueprint, url_prefix="/base")
    return made


@pytest.fixture(scope="module")
def document(app: APIFlask) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get("/openapi.json").json
    return found


def test_an_endpoint_gets_everything_from_its_own_decorators(document: dict[str, Any]) -> None:
    made = document["paths"]["/base/wishes/{name}"]["post"]
    assert made["operationId"] == "make_wish"
    assert made["tags"] == ["Wishes"] and document["tags"] == [{"name": "Wishes"}]
    assert made["summary"] == "Make a wish."
    assert made["security"] == [{"key": []}, {"header": []}, {"ticket": []}]
    assert made["x-academy-role"] == "operator"
    headers = {each["name"]: each for each in made["parameters"] if each["in"] == "header"}
    assert set(headers) == {HEADER, "Prefer"}
    assert not any(each["required"] for each in headers.values())
    assert headers["Prefer"]["description"] == "how long to wait"


def test_its_problems_are_the_declared_ones_and_those_that_follow(document: dict[str, Any]) -> None:
    made = document["paths"]["/base/wishes/{name}"]["post"]["responses"]
    problems = {status for status, each in made.items() if _is_problem(each)}
    # 401 and 403: a role; 404: a name in the path; 409 and 422: it creates; the others: a body.
    expected = {"400", "401", "403", "404", "409", "413", "415", "422", "507", "default"}
    assert problems == expected
    listed = document["paths"]["/base/wishes"]["get"]["responses"]
    assert {each for each in listed if _is_problem(listed[each])} == {"401", "403", "default"}


def test_further_answers_and_their_models_are_declared_at_the_view(
    document: dict[str, Any],
) -> None:
    made = document["paths"]["/base/wishes/{name}"]["post"]["responses"]
    assert made["202"]["description"] == "It takes longer."
    reference = {"$ref": "#/components/schemas/Late"}
    assert made["202"]["content"] == {"application/json": {"schema": reference}}
    assert document["components"]["schemas"]["Late"]["required"] == ["status"]
    assert "201" in made


def test_a_stream_takes_the_place_of_no_answer_and_stands_beside_a_model(
    document: dict[str, Any],
) -> None:
    only = document["paths"]["/base/wishes"]["get"]["responses"]["200"]
    assert only["description"] == "Wishes, one an event."
    assert set(only["content"]) == {"text/event-stream"}
    both = document["paths"]["/base/wishes"]["put"]["responses"]["200"]
    assert set(both["content"]) == {"application/json", "text/event-stream"}


def test_a_body_that_the_view_reads_itself_has_every_media_type(document: dict[str, Any]) -> None:
    replaced = document["paths"]["/base/wishes"]["put"]
    content = replaced["requestBody"]["content"]
    assert content["text/plain"]["schema"] == {"type": "string"}
    assert content["application/json"]["schema"] == {"$ref": "#/components/schemas/Wish"}
    assert replaced["security"] == [] and "x-academy-role" not in replaced


def test_only_views_that_declare_it_are_idempotent(app: APIFlask) -> None:
    app.testing = True
    with pytest.raises(RuntimeError, match=r"wishes\.replace_wishes .* lacks @creates"):
        app.test_client().put("/base/wishes")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The document of the whole API, which needs neither PostgreSQL nor Redis."""
    made = create_app(
        Settings.from_env(
            {
                "ACADEMY_HOME": str(tmp_path_factory.mktemp("home")),
                "ACADEMY_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
                "ACADEMY_REDIS_URL": "redis://127.0.0.1:1/0",
            }
        )
    )
    yield made.test_client().get("/openapi.json").json
    made.extensions["academy"].close()


def test_every_operation_has_security_a_tag_a_summary_and_an_id(whole: dict[str, Any]) -> None:
    tags = [each["name"] for each in whole["tags"]]
    assert len(tags) == len(set(tags))
    operations = [each for path in whole["paths"].values() for each in path.values()]
    for each in operations:
        assert each["operationId"] and each["summary"], each
        assert len(each["tags"]) == 1 and each["tags"][0] in tags, each
        assert "security" in each and ("x-academy-role" in each) == bool(each["security"]), each
    identities = [each["operationId"] for each in operations]
    assert len(identities) == len(set(identities))


def test_no_endpoint_is_named_where_the_document_is_written(whole: dict[str, Any]) -> None:
    with open(openapi.__file__, encoding="utf-8") as file:
        words = set(re.findall(r"\w+", file.read()))
    names = {each["operationId"] for path in whole["paths"].values() for each in path.values()}
    # A name of one word may be a plain word of the text too.
    assert not {each for each in names & words if "_" in each}


def _is_problem(answer: dict[str, Any]) -> bool:
    return set(answer.get("content", {})) == {"application/problem+json"}
