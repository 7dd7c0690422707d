"""Recording scored runs, the signals that come later, and looking at them."""

from __future__ import annotations

import json
from typing import Any

import pytest

NDJSON = "application/x-ndjson"
RUN = {"prompt": "Write a parser.", "answer": "def parse(): ...", "task_id": "t1"}


def test_a_run_is_recorded_once_and_shown(admin) -> None:
    sent = {**RUN, "id": "r1", "reward": 0.9, "source": "ci", "signals": {"tests_passed": True}}
    first = admin.post("/runs", json=sent)
    assert (first.status_code, first.json["added"], first.json["ids"]) == (201, 1, ["r1"])
    assert admin.post("/runs", json=sent).json["known"] == 1
    shown = admin.get("/runs?source=ci&task_id=t1").json["runs"]
    assert [each["id"] for each in shown] == ["r1"]
    assert shown[0]["messages"][-1] == {"role": "assistant", "content": "def parse(): ..."}
    assert shown[0]["reward"] == 0.9
    assert admin.get("/runs?source=elsewhere").json["count"] == 0


def test_signals_that_come_later_are_merged_and_make_the_reward(admin) -> None:
    run_id = admin.post("/runs", json=RUN).json["ids"][0]
    assert admin.get("/runs").json["runs"][0]["reward"] is None
    where = f"/runs/{run_id}/signals"
    admin.post(where, json={"tests_present": True, "tests_passed": True})
    more = admin.post(where, json={"compiled": False}, headers={"Idempotency-Key": "k"})
    assert more.status_code == 200
    assert more.json["signals"] == {"tests_present": True, "tests_passed": True, "compiled": False}
    assert more.json["reward"] == 0.5
    assert admin.post(where, json={"reward": 0.25}).json["reward"] == 0.25
    again = admin.post(where, json={"compiled": False}, headers={"Idempotency-Key": "k"})
    assert again.headers["Idempotency-Replayed"] == "true"
    assert admin.post("/runs/nobody/signals", json={"compiled": True}).status_code == 404


def test_many_runs_are_recorded_all_or_none_and_listed_in_pages(admin) -> None:
    rows: list[dict[str, Any]] = [{**RUN, "id": f"r{n}", "answer": f"a{n}"} for n in range(250)]
    body = "\n".join(json.dumps(row) for row in rows)
    bad = admin.post("/runs", data=body + '\n{"prompt": "a"}', content_type=NDJSON)
    assert (bad.status_code, bad.json["errors"][0]["line"]) == (422, 251)
    assert admin.get("/runs").json["count"] == 0
    assert admin.post("/runs", data=body, content_type=NDJSON).json["added"] == 250
    first = admin.get("/runs?limit=200").json
    rest = admin.get(f"/runs?limit=200&after={first['next']}").json
    assert len({each["id"] for each in first["runs"] + rest["runs"]}) == 250
    assert not rest["has_more"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": None}, "exactly one of 'prompt' and 'messages'"),
        ({"messages": [{"role": "user", "content": "q"}]}, "exactly one of"),
        ({"reward": 1.5}, "reward"),
        ({"reward": -0.1}, "reward"),
        ({"signals": {"tests_passed": True, "tests_present": False}}, "tests_passed cannot"),
        ({"signals": {"happy": True}}, "happy"),
        (
            {"prompt": None, "messages": [{"role": "assistant", "content": "a"}]},
            "belongs into 'answer'",
        ),
    ],
)
def test_a_run_that_makes_no_sense_is_refused_by_name(admin, change, said) -> None:
    answer = admin.post("/runs", json={**RUN, **change})
    assert answer.status_code == 422
    assert said in answer.text
    assert admin.get("/runs").json["count"] == 0


def test_signals_that_say_nothing_are_refused(admin) -> None:
    run_id = admin.post("/runs", json=RUN).json["ids"][0]
    answer = admin.post(f"/runs/{run_id}/signals", json={})
    assert answer.status_code == 422
    assert "no signal is given" in answer.json["detail"]
