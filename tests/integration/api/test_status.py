"""The status of the whole, the probes, and the OpenAPI document."""

from __future__ import annotations

import re
from typing import Any

import pytest

from academy.api.app import create_app
from academy.store.jobs import workers


def test_the_status_has_the_seeds_fields_and_the_workers(admin, dataset, sessions) -> None:
    admin.post("/train", json={})
    with sessions.begin() as session:
        workers.seen(
            session,
            "w1",
            queue="gpu",
            host="h",
            pid=1,
            versions={"academy": "0"},
            gpus=[{"uuid": "GPU-1", "name": "H200", "memory_bytes": 1 << 37}],
        )
    body = admin.get("/status").json
    assert body["enabled"] is True
    assert body["components"] == {
        "professor": False,
        "dataset_curator": False,
        "gpu_habitat": True,
        "lessons_store": True,
        "model_manager": False,
    }
    assert (body["gpu"]["available"], body["gpu"]["enabled"]) == (True, True)
    assert "H200" in {each["name"] for each in body["gpu"]["devices"]}
    assert body["lessons"]["total_lessons"] == 0
    assert body["jobs"]["total"] == body["jobs"]["queued"] == 1
    assert body["jobs"]["failed"] == 0
    assert body["config"]["min_lessons"] == 100
    assert body["config"]["default_base_model"] == "tiny"
    assert body["queues"] == {"curation": 0, "gpu": 1}
    assert body["workers"][0]["id"] == "w1"
    assert body["runtimes"][0]["ready"] is False
    drained = admin.post("/workers/w1/drain")
    assert drained.status_code == 200
    assert admin.get("/workers").json["workers"][0]["draining"] is True


def test_the_probes_answer_anybody_and_tell_what_is_away(app, settings) -> None:
    http = app.test_client()
    assert http.get("/healthz").json == {"status": "alive"}
    ready = http.get("/readyz")
    assert (ready.status_code, ready.json["ready"]) == (200, True)
    broken = create_app(settings.changed(redis_url="redis://127.0.0.1:9/0"))
    answer = broken.test_client().get("/readyz")
    broken.extensions["academy"].close()
    assert answer.status_code == 503
    assert answer.json["checks"]["postgres"] == "ok"
    assert answer.json["checks"]["redis"].startswith("away")
    assert "127.0.0.1" not in answer.text


def test_a_database_that_is_away_is_503_with_the_time_to_try_again(settings) -> None:
    app = create_app(settings.changed(database_url="postgresql://a:b@127.0.0.1:9/c"))
    answer = app.test_client().get("/api/v1/academy/jobs", headers={"X-API-Key": "k"})
    app.extensions["academy"].close()
    assert (answer.status_code, answer.json["code"]) == (503, "unavailable")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "127.0.0.1" not in answer.text


def test_requests_and_jobs_are_counted_for_prometheus(app, admin, dataset) -> None:
    admin.post("/train", json={})
    text = admin.get("/metrics").text
    assert 'academy_jobs{status="queued"} 1.0' in text
    assert 'academy_queue_depth{queue="gpu"} 1.0' in text
    assert re.search(r'academy_http_requests_total\{.*route="/api/v1/academy/train".*\} 1\.0', text)
    assert app.test_client().get("/metrics").status_code == 401


def test_an_error_nobody_foresaw_shows_no_stack_and_is_logged(
    app, admin, caplog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setitem(app.view_functions, "jobs.list_jobs", broken)
    answer = admin.get("/jobs", headers={"X-Request-Id": "mine-1"})
    assert (answer.status_code, answer.json["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert answer.json["request_id"] == answer.headers["X-Request-Id"] == "mine-1"
    assert "a secret detail" in caplog.text


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for each in value.values() for found in _references(each)]
    return (
        [found for each in value for found in _references(each)] if isinstance(value, list) else []
    )


def test_the_openapi_document_is_whole_and_has_every_route(app) -> None:
    document = app.test_client().get("/openapi.json").json
    assert document["openapi"].startswith("3.1")
    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    routes = {
        (method.lower(), re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith(("/openapi", "/academy"))
        and rule.rule not in ("/", "/docs")  # which lead people there
    }
    assert routes - set(operations) == set()
    identities = [operation["operationId"] for operation in operations.values()]
    assert len(identities) == len(set(identities))
    for reference in _references(document):
        found: Any = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/")]
    for (method, path), operation in operations.items():
        declared = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path)), path
        names = [(each["name"], each["in"]) for each in operation["parameters"]]
        assert len(names) == len(set(names)), path
        assert operation["summary"], path
        assert "application/problem+json" in operation["responses"]["default"]["content"]
        assert (operation["security"] == []) == (path in {"/healthz", "/readyz"}), path
        if operation["security"]:
            assert operation["x-academy-role"] in {"viewer", "operator", "admin"}
        if method == "get":
            assert "requestBody" not in operation
    recipe = document["components"]["schemas"]["TrainingRequest"]["properties"]["lora_rank"]
    assert (recipe["minimum"], recipe["maximum"]) == (1, 512)


def test_every_view_says_who_may_call_it(app) -> None:
    for endpoint, view in app.view_functions.items():
        if not endpoint.startswith(("openapi.", "dashboard.")):
            assert hasattr(view, "academy_role"), endpoint
