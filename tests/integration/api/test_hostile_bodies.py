"""Bodies that nobody should send, to every route: each is answered, and none by a 500.

The routes are those of the application itself, so a new one is tried by itself. What is allowed is
an answer below 500, or 501 to 504 with a problem that says why (nothing serves models here), and no
answer repeats more than a little of what was sent.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from apiflask import APIFlask

HALF = "\ud800"
LONG = "x" * 60_000
JSON = "application/json"
NDJSON = "application/x-ndjson"

BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", JSON),
    "no json": (b"{", JSON),
    "a comma": (b"{},", JSON),
    "half a character in a name": (rb'{"\ud800": 1}', JSON),
    "half a character in a text": (rb'{"name": "\ud800", "id": "\udc00"}', JSON),
    "half a character in a list": (rb'{"tags": ["\ud800"], "messages": [{"\ud800": 1}]}', JSON),
    "NUL": (rb'{"name": "\u0000", "id": "a\u0000b", "prompt": "\u0000"}', JSON),
    "no utf-8": (b'{"name": "\xff"}', JSON),
    "utf-16": ('{"a": 1}'.encode("utf-16"), JSON),
    "a list": (b"[]", JSON),
    "a list of lists": (b"[" * 90 + b"]" * 90, JSON),
    "too deep": (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, JSON),
    "a text": (b'"text"', JSON),
    "a number": (b"1e999", JSON),
    "digits": (b'{"seed": ' + b"9" * 5_000 + b"}", JSON),
    "NaN": (b'{"learning_rate": NaN, "quality": Infinity}', JSON),
    "names twice": (b'{"a": 1, "a": 2}', JSON),
    "many names": (json.dumps({f"n{n}": n for n in range(7_000)}).encode(), JSON),
    "many names twice": (
        b"{" + b",".join(b'"n%d":1' % (n % 6_000) for n in range(7_000)) + b"}",
        JSON,
    ),
    "a long name": (json.dumps({LONG: 1}).encode(), JSON),
    "a long text": (json.dumps({"name": LONG, "kind": LONG, "model": LONG}).encode(), JSON),
    "a long list": (json.dumps({"tags": [0] * 30_000}).encode(), JSON),
    "wrong types": (
        json.dumps({"messages": {"a": 1}, "tags": "a", "name": [], "recipe": 7}).encode(),
        JSON,
    ),
    "nulls": (
        json.dumps(dict.fromkeys(("messages", "tags", "name", "recipe", "kind"))).encode(),
        JSON,
    ),
    "a form": (b"a=1&a=2", "application/x-www-form-urlencoded"),
    "a broken form": (
        b"--x\r\nContent-Disposition: form-data; name=",
        "multipart/form-data; boundary=x",
    ),
    "a form without a boundary": (b"--x--", "multipart/form-data"),
    "another type": (b"{}", "text/\xe9; charset=\x80".encode("latin-1").decode("latin-1")),
    "an unknown charset": (b"{}", "application/json; charset=none"),
    "no lines": (b"\n\n\n", NDJSON),
    "bad lines": (b"{}\n[]\n7\n\xff\n{", NDJSON),
    "many bad lines": (b"[]\n" * 30_000, NDJSON),
    "half characters in lines": (rb'{"\ud800": 1}' + b"\n", NDJSON),
}
#: What stands in a path for its parameters.
PARTS = ("x", "default", "%00", "%ED%A0%80", "..%2f..", "%20", "-1", LONG[:300], "a%2Fb", "🦊")
QUERIES = (
    "",
    "?limit=-1&after=%00",
    "?%ED%A0%80=1&limit=1&limit=2",
    "?wait=nan",
    f"?tag={LONG[:2000]}",
)
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Origin": "http://[", "Referer": "\\"},
    {"Origin": "null", "Range": "bytes=9-1", "Prefer": "wait=1e9", "Last-Event-ID": "\x7f"},
    {"Accept": "*/*;q=x", "Idempotency-Key": "k" * 300, "If-None-Match": '"' * 9},
    {"X-Forwarded-For": "::::", "X-Request-Id": "r" * 500, "Cookie": 'a="\\'},
)


def requests(
    app: APIFlask, per_route: int
) -> Iterator[tuple[str, str, bytes, str, dict[str, str]]]:
    """Every route with each of its methods and some of the bodies; the same ones each time."""
    chance = random.Random(11)
    names = list(BODIES)
    for rule in sorted(app.url_map.iter_rules(), key=str):
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            takes_body = method in {"POST", "PUT", "PATCH"}
            chosen = names if takes_body else chance.sample(names, 2)
            chosen = chosen if len(chosen) <= per_route else chance.sample(chosen, per_route)
            for name, part in zip(chosen, itertools.cycle(PARTS)):
                path = rule.rule
                for argument in rule.arguments:
                    start = path.index("<")
                    end = path.index(">", start)
                    assert argument
                    path = path[:start] + part + path[end + 1 :]
                body, media_type = BODIES[name]
                headers = {**chance.choice(HEADERS), "Content-Type": media_type}
                yield method, path + chance.choice(QUERIES), body, name, headers


def test_every_route_answers_hostile_requests_without_failing(
    app: APIFlask, admin: Callable[..., Any]
) -> None:
    failed: list[str] = []
    count = 0
    for method, path, body, name, headers in requests(app, per_route=40):
        headers = {"Authorization": f"Bearer {admin.key}", **headers}  # type: ignore[attr-defined]
        answer = admin.http.open(path, method=method, data=body, headers=headers)  # type: ignore[attr-defined]
        count += 1
        text = answer.get_data()
        kind = answer.headers.get("Content-Type", "")
        what = f"{method} {path[:80]} with {name}: {answer.status_code} {text[:200]!r}"
        if answer.status_code == 500 or answer.status_code >= 505:
            failed.append(what)
        elif path.startswith("/academy"):  # the dashboard's pages, which are for people
            continue
        elif answer.status_code >= 400 and not kind.startswith("application/problem+json"):
            failed.append(f"no problem: {what}")
        elif answer.status_code >= 400 and len(text) > 40_000:
            failed.append(f"{len(text)} bytes: {what}")
        elif answer.status_code >= 400 and b"x" * 200 in text:
            failed.append(f"repeats: {what}")
    assert count > 800
    assert not failed, "\n".join(failed[:40])


@pytest.mark.parametrize("name", BODIES)
def test_a_stranger_s_body_is_not_even_read(app: APIFlask, name: str) -> None:
    body, media_type = BODIES[name]
    answer = app.test_client().post(
        "/api/v1/academy/lessons", data=body, headers={"Content-Type": media_type}
    )
    assert answer.status_code == 401
