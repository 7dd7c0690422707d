"""Bad input gets its status, its code and a sentence, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from academy.access.keys import Role
from academy.settings import Settings

_TABLES = ("jobs", "job_transitions", "hints", "lessons", "tasks", "aliases", "idempotent_requests")
_GOOD_LESSON = {"situation": "a", "solution": "b"}


def _post(path: str, **more: Any) -> tuple[str, str, dict[str, Any]]:
    return ("POST", path, more)


def _raw(path: str, data: bytes, kind: str = "application/json") -> tuple[str, str, dict[str, Any]]:
    return ("POST", path, {"data": data, "content_type": kind})


CASES = [
    # an unknown field is named
    (_post("/train", json={"lora_rnk": 8}), 422, "invalid_request", "lora_rank"),
    (_post("/dataset", json={"lessons_limits": 1}), 422, "invalid_request", "lessons_limit"),
    (_post("/lessons", json={**_GOOD_LESSON, "x": 1}), 422, "invalid_request", "'x'"),
    (_post("/keys", json={"name": "n", "admin": True}), 422, "invalid_request", "'admin'"),
    (_post("/adapters/activate", json={"adapter": "a"}), 422, "invalid_request", "adapter"),
    (("GET", "/jobs?statuss=running", {}), 422, "invalid_request", "statuss"),
    # wrong types: numbers are not made from texts, nor truth from numbers
    (_post("/train", json={"lora_rank": "16"}), 422, "invalid_request", "lora_rank"),
    (_post("/train", json={"lora_rank": 16.5}), 422, "invalid_request", "lora_rank"),
    (_post("/train", json={"lora_rank": True}), 422, "invalid_request", "lora_rank"),
    (_post("/train", json={"use_dora": 1}), 422, "invalid_request", "use_dora"),
    (_post("/train", json=[1]), 422, "invalid_request", "object"),
    (_post("/train", json={"learning_rate": None}), 422, "invalid_request", "learning_rate"),
    (_post("/lessons", json={**_GOOD_LESSON, "tags": "a"}), 422, "invalid_request", "tags"),
    # ranges
    (_post("/train", json={"lora_rank": 0}), 422, "invalid_request", "from 1 to 512"),
    (_post("/train", json={"learning_rate": 0}), 422, "invalid_request", "learning_rate"),
    (_post("/train", json={"num_epochs": -1}), 422, "invalid_request", "num_epochs"),
    (_post("/train", json={"priority": 101}), 422, "invalid_request", "from -100 to 100"),
    (_post("/train", json={"role": "Bad Role"}), 422, "invalid_request", "role"),
    (_post("/lessons", json={**_GOOD_LESSON, "quality": 1.5}), 422, "invalid_request", "quality"),
    (_post("/lessons", json={**_GOOD_LESSON, "situation": " "}), 422, "invalid_request", "white"),
    (_post("/tasks", json={"messages": [], "outcome": "ok"}), 422, "invalid_request", "messages"),
    (("GET", "/jobs?limit=0", {}), 422, "invalid_request", "from 1 to 500"),
    (("GET", "/jobs?limit=501", {}), 422, "invalid_request", "limit"),
    (("GET", "/jobs?limit=many", {}), 422, "invalid_request", "limit"),
    (("GET", "/jobs?limit=1&limit=2", {}), 422, "invalid_request", "more than once"),
    (("GET", "/jobs?status=done", {}), 422, "invalid_request", "finished"),
    (("GET", "/jobs?after=%21%21", {}), 422, "invalid_request", "cursor"),
    (("GET", "/jobs?after=bm9uZQ", {}), 422, "invalid_request", "cursor"),
    (_post("/dataset", json={}, headers={"Prefer": "wait=soon"}), 422, "invalid_request", "wait"),
    # numbers that JSON does not have
    (_raw("/train", b'{"learning_rate": NaN}'), 400, "not_json", "NaN"),
    (_raw("/train", b'{"learning_rate": Infinity}'), 400, "not_json", "Infinity"),
    (_raw("/train", b'{"learning_rate": -Infinity}'), 400, "not_json", "-Infinity"),
    (_raw("/train", b'{"learning_rate": 1e999}'), 400, "not_json", "1e999"),
    (_raw("/train", b'{"seed": ' + b"9" * 5000 + b"}"), 400, "not_json", "digits"),
    # not JSON
    (_raw("/train", b'{"lora_rank": 16,}'), 400, "not_json", "line 1, column"),
    (_raw("/train", b'{"seed": 1, "seed": 2}'), 400, "not_json", "'seed'"),
    (_raw("/train", b'{"name": "\xff"}'), 400, "not_json", "UTF-8"),
    (_raw("/train", b'{"name": "\\u0000"}'), 400, "not_json", "NUL"),
    (_raw("/train", b'{"name": "\\ud800"}'), 400, "not_json", "half a character"),
    (_raw("/train", b"[" * 50_000), 400, "not_json", "nested"),
    (_raw("/jobs", b'{"request": ' + b"[" * 300 + b"]" * 300 + b"}"), 400, "not_json", "nested"),
    (_raw("/train", b"{}", "text/plain"), 415, "unsupported_media_type", "application/json"),
    (_raw("/lessons", b"a=b", "application/x-www-form-urlencoded"), 415, None, "ndjson"),
    (_raw("/lessons", b"\n \n", "application/x-ndjson"), 422, "invalid_request", "no line"),
    (_raw("/lessons", b"x" * 100_001), 413, "body_too_large", "100000"),
    # ids that do not exist
    (("GET", "/train/none/status", {}), 404, "not_found", "none"),
    (("GET", "/train/none/logs", {}), 404, "not_found", "none"),
    (("GET", "/train/none/logs/stream", {}), 404, "not_found", "none"),
    (("DELETE", "/train/none", {}), 404, "not_found", "none"),
    (_post("/train/none/pause"), 404, "not_found", "none"),
    (("GET", "/jobs/none", {}), 404, "not_found", "none"),
    (("GET", "/jobs/%00", {}), 404, "not_found", ""),
    (("GET", "/lessons?tag=%00", {}), 404, "not_found", ""),
    (("GET", "/datasets/none", {}), 404, "not_found", "none"),
    (("GET", "/adapters/none", {}), 404, "not_found", "none"),
    (("GET", "/aliases/none/history", {}), 404, "not_found", "none"),
    (("DELETE", "/keys/none", {}), 404, "not_found", "none"),
    (_post("/workers/none/drain"), 404, "not_found", "none"),
    (_post("/adapters/activate", json={"adapter_id": "none"}), 404, "not_found", "none"),
    (_post("/train", json={"dataset_id": "none"}), 404, "not_found", "none"),
    (_post("/v1/chat/completions", json={"model": "none", "messages": [{}]}), 404, None, "none"),
    # what is asked for is not there
    (_post("/train", json={}), 422, "invalid_request", "no dataset"),
    (_post("/dataset", json={"repositories": ["/etc"]}), 422, "repository_refused", "/etc"),
    (_post("/dataset", json={"base_model": "gpt-9"}), 422, "base_model_unavailable", "models"),
    # the wrong place or manner
    (("GET", "/jobs/none/logs/ws", {}), 400, "invalid_request", "/logs/stream"),
    (("GET", "/nowhere", {}), 404, "not_found", "/nowhere"),
    (("PUT", "/train", {}), 405, "method_not_allowed", "POST"),
    (("GET", "/train/x/logs/stream?after=x", {}), 404, "not_found", "x"),
    (_post("/train", json={}, headers={"Idempotency-Key": ""}), 422, "invalid_request", "255"),
]


@pytest.fixture
def contents(settings: Settings) -> Callable[[], dict[str, int]]:
    """Counts the rows of every table that a request could change."""

    def count() -> dict[str, int]:
        with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
            return {
                table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # type: ignore[index, arg-type]
                for table in _TABLES
            }

    return count


def test_each_bad_request_is_refused_with_a_reason_and_changes_nothing(admin, contents) -> None:
    before = contents()
    failed = []
    for (method, path, more), status, code, word in CASES:
        answer = admin(method, path, **more)
        body = answer.get_json(silent=True) or {}
        told = json.dumps(body, ensure_ascii=False)
        good = (
            answer.status_code == status
            and answer.content_type == "application/problem+json"
            and (code is None or body.get("code") == code)
            and word in told
            and "Traceback" not in told
            and body["request_id"] == answer.headers["X-Request-Id"]
            and body["error"]["code"] == body["code"]
            and body["status"] == status
            and body["detail"]
            and body["next_step"]
        )
        if not good:
            failed.append((method, path, more, answer.status_code, answer.content_type, told))
    assert not failed, "\n".join(map(str, failed))
    assert contents() == before


def test_a_request_without_a_good_key_gets_401_and_the_scheme(app) -> None:
    for headers, code in (
        ({}, "key_missing"),
        ({"Authorization": "Basic eDp5"}, "key_missing"),
        ({"Authorization": "Bearer "}, "key_missing"),
        ({"Authorization": "Bearer wrong"}, "key_unknown"),
        ({"X-API-Key": "wrong"}, "key_unknown"),
        ({"X-API-Key": "aca_\xff"}, "key_unknown"),
    ):
        answer = app.test_client().get("/api/v1/academy/status", headers=headers)
        assert (answer.status_code, answer.json["code"]) == (401, code), headers
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_weak_key_is_refused_before_its_body_is_looked_at(caller) -> None:
    viewer = caller(Role.VIEWER)
    for method, path in [
        ("POST", "/train"),
        ("POST", "/lessons"),
        ("DELETE", "/train/x"),
        ("POST", "/keys"),
        ("POST", "/adapters/activate"),
    ]:
        answer = viewer(method, path, data=b"{nonsense", content_type="application/json")
        assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), path
        assert "viewer" in answer.json["detail"]
    operator = caller(Role.OPERATOR)
    assert operator.post("/adapters/deactivate", json={}).status_code == 403
    assert operator.get("/keys").status_code == 403


def test_every_wrong_field_is_listed_with_a_pointer_and_what_is_allowed(admin) -> None:
    answer = admin.post("/train", json={"lora_rank": 0, "num_epochs": 1000, "lora_alpha": "much"})
    found = {each["pointer"]: each for each in answer.json["errors"]}
    assert set(found) == {"/lora_rank", "/num_epochs", "/lora_alpha"}
    assert found["/lora_rank"]["allowed"] == "a whole number from 1 to 512"
    assert found["/num_epochs"]["allowed"] == "a whole number from 1 to 100"
    assert "'auto'" in found["/lora_alpha"]["allowed"]
    assert answer.json["error"]["param"] == "lora_rank"


def test_bad_lines_are_reported_by_number_and_none_is_recorded(admin, contents) -> None:
    before = contents()
    lines = [
        json.dumps(_GOOD_LESSON),
        '{"situation": "x"}',
        "",
        "{nonsense",
        json.dumps({**_GOOD_LESSON, "quality": 2}),
    ]
    answer = admin.post("/lessons", data="\n".join(lines), content_type="application/x-ndjson")
    assert answer.status_code == 422
    assert [each["line"] for each in answer.json["errors"]] == [2, 4, 5]
    assert contents() == before


_LONG = "x" * 90_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs", {"kind": _LONG}),
        ("/jobs", {"kind": "curation", "request": {"repositories": [_LONG]}}),
        ("/jobs", {"kind": "curation", "request": {"disabled_filters": [_LONG]}}),
        ("/jobs", {"kind": "curation", "request": {"uploads": [_LONG]}}),
        ("/jobs", {"kind": "curation", "request": {_LONG: 1}}),
        ("/jobs", {"kind": "training", "request": {"dataset_id": _LONG}}),
        ("/dataset", {"filters": {_LONG: {_LONG: 1}}}),
        ("/train", {_LONG: 1}),
        ("/train/sweep", {"knobs": {_LONG: {"values": [1]}}}),
        ("/schedules", {"name": "s", "kind": "curation", "cron": _LONG}),
        ("/adapters/activate", {"adapter_id": _LONG}),
        ("/v1/chat/completions", {"model": _LONG, "messages": [{"role": "user", "content": "a"}]}),
    ],
)
def test_an_error_does_not_send_back_all_that_was_sent(
    admin: Any, path: str, body: dict[str, Any]
) -> None:
    answer = admin.post(path, json=body)
    assert 400 <= answer.status_code < 500
    assert len(answer.data) < 50_000
