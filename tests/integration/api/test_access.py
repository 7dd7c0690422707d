"""Keys, roles and tickets."""

from __future__ import annotations

import stat
import threading

import psycopg

from academy.access.keys import Role, bootstrap_admin_key
from academy.settings import Settings


def test_the_first_start_writes_an_admin_key_that_works_and_stays(app, settings: Settings) -> None:
    starts = [threading.Thread(target=bootstrap_admin_key, args=(settings,)) for _ in range(4)]
    for each in starts:
        each.start()
    for each in starts:
        each.join(timeout=30)
    path = settings.home / "admin.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in settings.home.iterdir()] == ["admin.key"]
    secret = path.read_text().strip()
    http = app.test_client()
    headers = {"Authorization": f"Bearer {secret}"}
    keys = http.get("/api/v1/academy/keys", headers=headers).json["keys"]
    assert [each["role"] for each in keys] == ["admin"]
    bootstrap_admin_key(settings)
    assert path.read_text().strip() == secret
    with psycopg.connect(settings.postgres.url, connect_timeout=10) as connection:
        assert secret not in str(connection.execute("SELECT * FROM api_keys").fetchall())


def test_a_lost_or_revoked_admin_key_is_made_anew_at_the_next_start(
    admin, settings: Settings
) -> None:
    path = bootstrap_admin_key(settings)
    first = path.read_text()
    path.unlink()
    bootstrap_admin_key(settings)
    second = path.read_text()
    assert second != first
    for key in admin.get("/keys").json["keys"]:
        if key["name"].startswith("admin"):
            assert admin("DELETE", f"/keys/{key['id']}").status_code == 200
    bootstrap_admin_key(settings)
    assert path.read_text() not in {first, second}


def test_a_key_is_shown_once_works_by_its_role_and_ends_when_revoked(app, admin) -> None:
    made = admin.post("/keys", json={"name": "ci", "role": "operator"})
    assert made.status_code == 201
    key = made.json["key"]
    listed = admin.get("/keys").json
    assert key not in str(listed)
    http = app.test_client()
    lesson = {"situation": "a", "solution": "b"}
    for headers in ({"X-API-Key": key}, {"Authorization": f"bearer {key}"}):
        answer = http.post("/api/v1/academy/lessons", json=lesson, headers=headers)
        assert answer.status_code == 201
    assert next(each for each in admin.get("/keys").json["keys"] if each["name"] == "ci")[
        "last_used_at"
    ]
    assert admin("DELETE", f"/keys/{made.json['id']}").status_code == 200
    refused = http.post("/api/v1/academy/lessons", json=lesson, headers={"X-API-Key": key})
    assert (refused.status_code, refused.json["code"]) == (401, "key_revoked")
    assert "'ci'" in refused.json["detail"]


def test_a_repeated_request_for_a_key_does_not_show_the_secret_again(admin) -> None:
    headers = {"Idempotency-Key": "k"}
    first = admin.post("/keys", json={"name": "ci"}, headers=headers).json
    again = admin.post("/keys", json={"name": "ci"}, headers=headers).json
    assert first["key"] and again["key"] is None
    assert (again["id"], again["role"]) == (first["id"], "viewer")


def test_the_last_admin_key_cannot_be_revoked(admin) -> None:
    (key,) = admin.get("/keys").json["keys"]
    answer = admin("DELETE", f"/keys/{key['id']}")
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert admin.get("/keys").status_code == 200


def test_a_ticket_opens_one_stream_once(app, admin, caller, dataset) -> None:
    job_id = admin.post("/train", json={}).json["job_id"]
    admin("DELETE", f"/train/{job_id}")
    made = caller(Role.VIEWER).post("/tickets")
    assert made.status_code == 201
    path = f"/api/v1/academy/train/{job_id}/logs/stream?ticket={made.json['ticket']}"
    http = app.test_client()
    first = http.get(path)
    assert first.status_code == 200
    assert '"cancelled"' in first.text
    assert http.get(path).json["code"] == "ticket_refused"
    elsewhere = caller(Role.VIEWER).post("/tickets").json["ticket"]
    assert http.get(f"/api/v1/academy/jobs?ticket={elsewhere}").json["code"] == "key_missing"


def test_a_ticket_of_a_revoked_key_is_refused(app, admin, caller, dataset) -> None:
    job_id = admin.post("/train", json={}).json["job_id"]
    ticket = caller(Role.VIEWER).post("/tickets").json["ticket"]
    for key in admin.get("/keys").json["keys"]:
        if key["role"] == "viewer":
            admin("DELETE", f"/keys/{key['id']}")
    answer = app.test_client().get(f"/api/v1/academy/train/{job_id}/logs/stream?ticket={ticket}")
    assert answer.json["code"] == "key_revoked"
