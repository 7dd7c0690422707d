"""Jobs of every kind by one set of routes."""

from __future__ import annotations

from typing import Any

import pytest

REQUESTS: dict[str, dict[str, Any]] = {
    "curation": {"repositories": [], "lessons_limit": 3},
    "training": {"max_steps": 1},
}


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.usefixtures("dataset")
def test_a_job_of_any_kind_is_submitted_steered_and_shown_by_the_same_routes(
    admin: Any, kind: str
) -> None:
    sent = {"kind": kind, "request": REQUESTS[kind]}
    answer = admin.post("/jobs", json=sent, headers={"Idempotency-Key": "one"})
    assert (answer.status_code, answer.json["kind"], answer.json["status"]) == (202, kind, "queued")
    job_id = answer.json["job_id"]
    assert answer.headers["Location"].endswith(f"/jobs/{job_id}/status")
    again = admin.post("/jobs", json=sent, headers={"Idempotency-Key": "one"})
    assert (again.json["job_id"], again.headers["Idempotency-Replayed"]) == (job_id, "true")
    for shown in ("", "/status"):
        body = admin.get(f"/jobs/{job_id}{shown}").json
        assert (body["kind"], body["status"], body["can_pause"]) == (kind, "queued", True)
    assert admin.post(f"/jobs/{job_id}/pause").json["status"] == "paused"
    assert admin.post(f"/jobs/{job_id}/resume").json["status"] == "queued"
    cancelled = admin("DELETE", f"/jobs/{job_id}")
    assert (cancelled.json["status"], cancelled.json["message"]) == ("cancelled", "Job cancelled")
    assert admin("DELETE", f"/jobs/{job_id}").status_code == 409
    assert admin.get(f"/jobs/{job_id}/logs").json["job_id"] == job_id
    stream = admin.get(f"/jobs/{job_id}/logs/stream").text
    assert '"status":"cancelled"' in stream
    counted = {each["kind"]: each["jobs"] for each in admin.get("/status").json["kinds"]}
    assert counted[kind]["cancelled"] == counted[kind]["total"] == 1


@pytest.mark.parametrize("path", ["", "/status", "/logs", "/logs/stream", "/transitions"])
def test_a_job_that_is_not_there_is_named(admin: Any, path: str) -> None:
    answer = admin.get(f"/jobs/training_none{path}")
    assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert "'training_none'" in answer.json["detail"]


@pytest.mark.parametrize(
    ("sent", "pointer", "said"),
    [
        ({"kind": "export", "request": {}}, "/kind", "'curation' or 'training'"),
        ({"kind": "TRAINING", "request": {}}, "/kind", "'curation' or 'training'"),
        ({"kind": None}, "/kind", "'curation' or 'training'"),
        ({"request": {}}, "/kind", "'curation' or 'training'"),
        ({"kind": "training", "request": []}, "/request", "an object"),
        ({"kind": "training", "request": {"lora_rank": 0}}, "/request/lora_rank", "1 to 512"),
        ({"kind": "curation", "request": {"lora_rank": 8}}, "/request/lora_rank", ""),
        ({"kind": "training", "reqest": {}}, "/reqest", "kind, request"),
    ],
)
def test_what_is_wrong_with_a_submission_is_named_by_its_pointer(
    admin: Any, sent: dict[str, Any], pointer: str, said: str
) -> None:
    answer = admin.post("/jobs", json=sent)
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json["errors"]] == [pointer]
    assert said in answer.json["errors"][0]["allowed"]
