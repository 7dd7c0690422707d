"""What every route does alike, walked over all there are: methods, media types, redirects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from apiflask import APIFlask
from werkzeug.routing import Rule

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "BREW")
_EVIL = {"Host": "evil.example"}


def paths(app: APIFlask) -> Iterator[tuple[str, set[str]]]:
    """An address of each route, with the methods that exist there."""
    rules: dict[str, list[Rule]] = {}
    for rule in app.url_map.iter_rules():
        rules.setdefault(re.sub(r"<[^>]+>", "1-x", rule.rule), []).append(rule)
    for path, found in rules.items():
        yield path, {method for rule in found for method in (rule.methods or ())}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), re.sub(r"{[^}]+}", "1-x", path), operation


@pytest.fixture
def document(app: APIFlask) -> dict[str, Any]:
    answer = app.test_client().get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json
    return found


def test_405_names_exactly_the_methods_that_exist(app: APIFlask, admin) -> None:
    headers = {"Authorization": f"Bearer {admin.key}"}
    found = list(paths(app))
    assert len(found) > 60
    for path, methods in found:
        for method in METHODS:
            if method in methods:
                continue
            answer = app.test_client().open(path, method=method, headers=headers)
            assert answer.status_code == 405, (method, path)
            assert method == "HEAD" or answer.json["code"] == "method_not_allowed", path
            assert set(answer.headers["Allow"].split(", ")) == methods, (method, path)


def test_options_names_exactly_the_methods_that_exist_and_needs_no_key(app: APIFlask) -> None:
    for path, methods in paths(app):
        answer = app.test_client().options(path)
        assert (answer.status_code, answer.data) == (204, b""), path
        assert set(answer.headers["Allow"].split(", ")) == methods, path
    assert app.test_client().options("/nothing").status_code == 404


def test_a_name_that_a_route_spells_out_is_no_id(admin) -> None:
    for method, path in (
        ("GET", "/adapters/activate"),
        ("DELETE", "/adapters/activate"),
        ("GET", "/datasets/upload"),
        ("DELETE", "/datasets/diff"),
        ("DELETE", "/train/sweep"),
        ("DELETE", "/lessons/stats"),
    ):
        answer = admin(method, path)
        assert answer.status_code == 405, (method, path)


def test_every_body_of_another_media_type_is_415_and_says_which_there_are(
    document: dict[str, Any], admin
) -> None:
    walked = 0
    for method, path, operation in operations(document):
        if "requestBody" not in operation:
            continue
        walked += 1
        allowed = set(operation["requestBody"]["content"])
        where = path.removeprefix("/api/v1/academy")
        for given in ("text/plain", "application/xml", "application/x-www-form-urlencoded"):
            answer = admin(method, where, data=b"{}", content_type=given)
            assert answer.status_code == 415, (method, path, given, answer.text)
            assert set(answer.headers["Accept"].split(", ")) == allowed, (method, path)
            for each in allowed:
                assert each in answer.json["detail"], (method, path, each)
        answer = admin(method, where, data=b"{}", content_type="")
        assert answer.status_code == 415, (method, path, answer.text)
    assert walked > 15


def test_a_body_where_none_is_taken_is_passed_over(document: dict[str, Any], admin) -> None:
    walked = 0
    for method, path, operation in operations(document):
        if "requestBody" in operation or "101" in operation["responses"] or "stream" in path:
            continue
        walked += 1
        where = path.removeprefix("/api/v1/academy")
        plain = admin(method, where)
        given = admin(method, where, data=b"\x00{nothing", content_type="text/plain")
        assert given.status_code == plain.status_code, (method, path)
    assert walked > 40


def test_an_accept_that_nothing_meets_is_passed_over(admin) -> None:
    for path in ("/status", "/jobs", "/datasets", "/nothing"):
        plain, picky = admin.get(path), admin.get(path, headers={"Accept": "image/png"})
        assert (picky.status_code, picky.mimetype) == (plain.status_code, plain.mimetype)


def test_no_redirect_leads_to_the_host_that_a_client_made_up(app: APIFlask) -> None:
    http = app.test_client()
    moved = 0
    for path, _ in paths(app):
        # Werkzeug's client takes what follows two slashes at the beginning for a host.
        for given in (path[:1] + path[1:].replace("/", "//"), path + "/", path + "//", path):
            answer = http.get(given, headers=_EVIL, base_url="http://evil.example")
            location = answer.headers.get("Location")
            assert "evil.example" not in str(answer.headers), given
            if location is not None:
                moved += 1
                assert re.match(r"/(?![/\\])", location), (given, location)
    assert moved > 40


def test_a_redirect_keeps_the_query(app: APIFlask) -> None:
    answer = app.test_client().get("/api/v1//academy/jobs?limit=1&after=x%2Fy", headers=_EVIL)
    assert answer.status_code == 308
    assert answer.headers["Location"] == "/api/v1/academy/jobs?limit=1&after=x%2Fy"


@pytest.mark.parametrize("host", ["[", "[::1", "evil.example:99999", "a/b", "?"])
def test_a_redirect_of_a_host_that_is_none_does_not_fail(app: APIFlask, host: str) -> None:
    answer = app.test_client().get("/api/v1//academy/jobs", environ_overrides={"HTTP_HOST": host})
    assert answer.status_code in {308, 400}, answer.text
    assert host == "a/b" or host not in answer.headers.get("Location", "")


def test_links_to_further_pages_have_no_host(admin) -> None:
    for number in range(2):
        admin.post("/lessons", json={"situation": f"{number}", "solution": "b"})
    link = admin.get("/lessons?limit=1", headers=_EVIL).headers["Link"]
    assert link.startswith("</api/v1/academy/lessons?")
