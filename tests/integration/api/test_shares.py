"""The weights by which roles and keys share the workers, over HTTP."""

from __future__ import annotations

import pytest

from academy.access.keys import Role


def test_an_admin_sets_a_weight_and_everybody_sees_it_with_the_load(
    admin, caller, dataset: str
) -> None:
    assert admin.post("/train", json={"role": "coder"}).status_code == 202
    assert admin.post("/train", json={}).status_code == 202
    set_to = admin("PUT", "/shares/role:coder", json={"weight": 3})
    expected = {"name": "role:coder", "weight": 3, "running": 0, "queued": 1}
    assert (set_to.status_code, set_to.json) == (200, expected)
    found = caller(Role.VIEWER).get("/shares").json
    assert found["count"] == 2 and expected in found["shares"]
    assert {"name": "key:the admin", "weight": 1, "running": 0, "queued": 1} in found["shares"]
    operator = caller(Role.OPERATOR)
    assert operator("PUT", "/shares/role:coder", json={"weight": 9}).status_code == 403


@pytest.mark.parametrize(
    ("name", "body", "pointer"),
    [
        ("role:coder", {"weight": 0}, "/weight"),
        ("role:coder", {"weight": 1001}, "/weight"),
        ("role:coder", {"weight": True}, "/weight"),
        ("role:coder", {}, "/weight"),
        ("coder", {"weight": 2}, "/name"),
        ("role:", {"weight": 2}, "/name"),
    ],
)
def test_a_bad_weight_or_share_is_refused_by_name(admin, name: str, body, pointer: str) -> None:
    answer = admin("PUT", f"/shares/{name}", json=body)
    assert answer.status_code == 422 and answer.json["errors"][0]["pointer"] == pointer
    assert answer.json["errors"][0]["allowed"]
    assert admin.get("/shares").json["count"] == 0
