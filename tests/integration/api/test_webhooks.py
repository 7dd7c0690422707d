"""``/webhooks``: who may keep them, what is refused, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from academy.access.keys import Role
from academy.store.engine import Sessions
from academy.store.webhooks import webhooks
from academy.webhooks.event_types import EVENT_TYPES

PUBLIC = "https://8.8.8.8/hook"


def make(admin: Any, **fields: Any) -> dict[str, Any]:
    answer = admin.post("/webhooks", json={"url": PUBLIC, **fields})
    assert answer.status_code == 201, answer.json
    found: dict[str, Any] = answer.json
    assert answer.headers["Location"] == f"/api/v1/academy/webhooks/{found['id']}"
    return found


def test_a_webhook_is_made_shown_changed_and_deleted(admin) -> None:
    made = make(admin, event_types=["job.*", "alias.moved"], description="the chat room")
    assert made["secret"].startswith("whsec_") and made["enabled"] is True
    shown = admin.get(f"/webhooks/{made['id']}").json
    assert shown == {name: value for name, value in made.items() if name != "secret"}
    listed = admin.get("/webhooks").json
    assert (listed["count"], listed["webhooks"]) == (1, [shown])
    assert listed["event_types"] == list(EVENT_TYPES)
    changed = admin(
        "PATCH", f"/webhooks/{made['id']}", json={"enabled": False, "event_types": ["*"]}
    ).json
    assert (changed["enabled"], changed["event_types"]) == (False, ["*"])
    assert (changed["url"], changed["description"]) == (PUBLIC, "the chat room")
    assert admin("PATCH", f"/webhooks/{made['id']}", json={}).json == changed
    assert admin("DELETE", f"/webhooks/{made['id']}").json["success"]
    for answer in (
        admin.get(f"/webhooks/{made['id']}"),
        admin("DELETE", f"/webhooks/{made['id']}"),
        admin("PATCH", f"/webhooks/{made['id']}", json={"enabled": True}),
        admin.post(f"/webhooks/{made['id']}/test"),
        admin.post(f"/webhooks/{made['id']}/rotate"),
        admin.get(f"/webhooks/{made['id']}/deliveries"),
    ):
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")
        assert "academy webhooks list" in answer.json["next_step"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_only_admins_keep_webhooks(caller: Callable[[Role], Any], role: Role) -> None:
    other = caller(role)
    for method, path in (
        ("GET", "/webhooks"),
        ("POST", "/webhooks"),
        ("GET", "/webhooks/w"),
        ("PATCH", "/webhooks/w"),
        ("DELETE", "/webhooks/w"),
        ("POST", "/webhooks/w/rotate"),
        ("POST", "/webhooks/w/test"),
        ("GET", "/webhooks/w/deliveries"),
        ("POST", "/webhooks/w/deliveries/delivery_1/repeat"),
    ):
        assert other(method, path, json={"url": PUBLIC}).status_code == 403, (method, path)


@pytest.mark.parametrize(
    "url",
    [
        *("http://8.8.8.8/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/"),
        *("https://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/", "https://0x7f.1/"),
        *("https://2130706433/", "https://user:pw@8.8.8.8/", "ftp://8.8.8.8/", "nothing"),
    ],
)
def test_an_address_that_leads_where_none_may_is_refused(admin, url: str) -> None:
    kept = make(admin)
    for answer in (
        admin.post("/webhooks", json={"url": url}),
        admin("PATCH", f"/webhooks/{kept['id']}", json={"url": url}),
    ):
        assert (answer.status_code, answer.json["code"]) == (422, "target_refused"), answer.json
        assert answer.json["errors"][0]["pointer"] == "/url"
        assert "pw" not in answer.text
    assert admin.get("/webhooks").json["count"] == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/url"),
        ({"url": PUBLIC, "event_types": []}, "/event_types"),
        ({"url": PUBLIC, "event_types": ["job.sucseeded"]}, "/event_types"),
        ({"url": PUBLIC, "event_types": ["job.*"] * 51}, "/event_types"),
        ({"url": PUBLIC, "description": "x" * 301}, "/description"),
        ({"url": PUBLIC, "secret": "whsec_mine"}, "/secret"),
        ({"url": "https://8.8.8.8/" + "x" * 2000}, "/url"),
    ],
)
def test_what_is_sent_is_checked(admin, body: dict[str, Any], pointer: str) -> None:
    answer = admin.post("/webhooks", json=body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_request")
    assert answer.json["errors"][0]["pointer"] == pointer


def test_a_repeated_request_makes_one_webhook_and_shows_its_secret_once(admin) -> None:
    headers = {"Idempotency-Key": "one"}
    first, again = (
        admin.post("/webhooks", json={"url": PUBLIC}, headers=headers) for _ in range(2)
    )
    assert first.json["secret"].startswith("whsec_")
    assert again.json == first.json | {"secret": None}
    assert admin.get("/webhooks").json["count"] == 1


def test_a_secret_is_rotated_and_the_one_before_counts_for_the_grace(
    admin, sessions: Sessions
) -> None:
    made = make(admin)
    other = admin.post(f"/webhooks/{made['id']}/rotate", json={"grace_seconds": 60}).json
    assert other["secret"] != made["secret"] and other["previous_secret_until"] is not None
    with sessions() as session:
        row = webhooks.get(session, made["id"])
        assert (row.secret, row.previous_secret) == (other["secret"], made["secret"])
    last = admin.post(f"/webhooks/{made['id']}/rotate", json={"grace_seconds": 0}).json
    assert last["previous_secret_until"] is None
    with sessions() as session:
        assert webhooks.get(session, made["id"]).previous_secret is None
    for wrong in (-1, 8 * 86_400, "1"):
        answer = admin.post(f"/webhooks/{made['id']}/rotate", json={"grace_seconds": wrong})
        assert answer.status_code == 422


def test_deliveries_are_listed_in_pages_and_repeated(admin) -> None:
    made = make(admin)
    path = f"/webhooks/{made['id']}"
    sent = [admin.post(f"{path}/test") for _ in range(3)]
    assert [each.status_code for each in sent] == [202] * 3
    ids = [each.json["id"] for each in sent]
    first = admin.get(f"{path}/deliveries?limit=2").json
    assert [each["id"] for each in first["deliveries"]] == ids[:0:-1]
    assert first["has_more"]
    rest = admin.get(f"{path}/deliveries?limit=2&after={first['next']}").json
    assert [each["id"] for each in rest["deliveries"]] == [ids[0]] and not rest["has_more"]
    shown = rest["deliveries"][0]
    assert (shown["state"], shown["attempts"], shown["type"]) == ("pending", 0, "webhook.test")
    assert admin.get(f"{path}/deliveries?state=given_up").json["count"] == 0
    assert admin.get(f"{path}/deliveries?state=lost").status_code == 422
    assert admin.get(f"{path}/deliveries?after=nothing").status_code == 422
    again = admin.post(f"{path}/deliveries/{ids[0]}/repeat")
    assert again.status_code == 202 and again.json["repeats"] == ids[0]
    assert again.json["event_id"] == shown["event_id"]
    other = make(admin)
    for wrong in (
        f"{path}/deliveries/delivery_99/repeat",
        f"{path}/deliveries/nothing/repeat",
        f"/webhooks/{other['id']}/deliveries/{ids[0]}/repeat",
    ):
        assert admin.post(wrong).status_code == 404, wrong


def test_a_disabled_webhook_is_sent_no_test(admin) -> None:
    made = make(admin, enabled=False)
    answer = admin.post(f"/webhooks/{made['id']}/test")
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert "enabled=true" in answer.json["detail"]


def test_there_is_an_end_to_how_many_there_are(admin) -> None:
    for _ in range(webhooks.MOST):
        make(admin, enabled=False)
    answer = admin.post("/webhooks", json={"url": PUBLIC})
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
