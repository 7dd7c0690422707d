"""Schedules over HTTP: what is refused names its field, what is kept is shown."""

from __future__ import annotations

from typing import Any

import pytest

from academy.access.keys import Role

NIGHTLY: dict[str, Any] = {
    "name": "nightly",
    "kind": "curation",
    "cron": "30 2 * * 1-5",
    "time_zone": "Europe/Warsaw",
    "request": {"repositories": [], "split": 0.25},
}


def test_a_schedule_is_made_shown_changed_and_deleted(admin) -> None:
    made = admin.post("/schedules", json=NIGHTLY)
    assert made.status_code == 201
    assert made.headers["Location"] == "/api/v1/academy/schedules/nightly"
    assert made.json["request"] == {"repositories": [], "heldout_fraction": 0.25}
    assert (made.json["missed"], made.json["grace_seconds"]) == ("once", 300)
    assert (made.json["overlap"], made.json["only_if_new"]) == ("allow", False)
    assert (made.json["skipped"], made.json["last_skip"]) == (0, None)
    assert made.json["next_at"] and made.json["last_outcome"] is None
    assert admin.get("/schedules/nightly").json == made.json

    body = {"kind": "training", "every": "6h", "request": {"lora_rank": 8}, "enabled": False}
    body |= {"overlap": "skip", "only_if_new": True}
    changed = admin("PUT", "/schedules/nightly", json=body)
    assert changed.status_code == 200
    assert (changed.json["every"], changed.json["cron"]) == (21600, None)
    assert (changed.json["overlap"], changed.json["only_if_new"]) == ("skip", True)
    assert changed.json["next_at"] is None and not changed.json["enabled"]

    assert admin("DELETE", "/schedules/nightly").json["name"] == "nightly"
    assert admin.get("/schedules/nightly").status_code == 404
    assert admin("DELETE", "/schedules/nightly").status_code == 404
    assert admin("PUT", "/schedules/nightly", json=body).status_code == 404


def test_schedules_are_listed_by_name_in_pages(admin) -> None:
    for name in ("b", "c", "a"):
        admin.post("/schedules", json=NIGHTLY | {"name": name})
    first = admin.get("/schedules?limit=2").json
    assert [each["name"] for each in first["schedules"]] == ["a", "b"] and first["has_more"]
    rest = admin.get(f"/schedules?limit=2&after={first['next']}").json
    assert [each["name"] for each in rest["schedules"]] == ["c"] and not rest["has_more"]


def test_a_name_is_taken_once_and_a_repeated_request_is_answered_again(admin) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = admin.post("/schedules", json=NIGHTLY, headers=headers)
    again = admin.post("/schedules", json=NIGHTLY, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201) and first.json == again.json
    taken = admin.post("/schedules", json=NIGHTLY)
    assert taken.status_code == 409 and "nightly" in taken.json["detail"]


def test_operators_keep_schedules_and_viewers_read_them(caller) -> None:
    viewer, operator = caller(Role.VIEWER), caller(Role.OPERATOR)
    assert viewer.post("/schedules", json=NIGHTLY).status_code == 403
    assert operator.post("/schedules", json=NIGHTLY).status_code == 201
    assert viewer.get("/schedules").json["count"] == 1
    assert viewer("DELETE", "/schedules/nightly").status_code == 403


@pytest.mark.parametrize(
    ("change", "pointer", "word"),
    [
        ({"name": "Night ly"}, "/name", "pattern"),
        ({"kind": "baking"}, "/kind", "training"),
        ({"cron": "61 * * * *"}, "/cron", "minute (0-59)"),
        ({"cron": "0 0 30 2 *"}, "/cron", "day-of-month"),
        ({"cron": "* * * * * *"}, "/cron", "five fields"),
        ({"time_zone": "Europe/Warshaw"}, "/time_zone", "Europe/Warsaw"),
        ({"cron": None, "every": "often"}, "/every", "6h"),
        ({"cron": None, "every": 0.5}, "/every", "1 to 31622400"),
        ({"every": 60}, "", "exactly one"),
        ({"cron": None}, "", "exactly one"),
        ({"missed": "twice"}, "/missed", "'skip' or 'once'"),
        ({"overlap": "queue"}, "/overlap", "'allow' or 'skip'"),
        ({"only_if_new": True}, "", "for the kind 'training', not for 'curation'"),
        ({"only_if_new": "yes"}, "/only_if_new", "true or false"),
        ({"grace_seconds": 0}, "/grace_seconds", "from 1"),
        ({"crom": "* * * * *"}, "/crom", "did you mean 'cron'"),
        ({"request": {"lessons_limit": -1}}, "/request/lessons_limit", "from 0 to 1000000"),
        ({"request": {"lora_rank": 8}}, "/request/lora_rank", "no field 'lora_rank'"),
        ({"request": {"seed": "7"}}, "/request/seed", "a whole number"),
        ({"kind": "training", "request": {"lora_rank": 0}}, "/request/lora_rank", "lora_rank"),
        ({"request": []}, "/request", "an object"),
    ],
)
def test_a_bad_schedule_is_refused_by_its_field_and_not_kept(
    admin, change: dict[str, Any], pointer: str, word: str
) -> None:
    body = {name: each for name, each in (NIGHTLY | change).items() if each is not None}
    answer = admin.post("/schedules", json=body)
    assert answer.status_code == 422, answer.json
    assert pointer in [each["pointer"] for each in answer.json["errors"]], answer.json
    assert word in str(answer.json), answer.json
    assert admin.get("/schedules").json["count"] == 0
