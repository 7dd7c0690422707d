"""What changes, live: every change once and in order, from any cursor."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from academy.lifecycle import JobKind
from academy.store.changes import changes
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from tests.waiting import until

#: What the fixture `served` gives (conftest.py).
Served = Any


def open_feed(served: Served, after: str | None = None) -> ClientConnection:
    query = "" if after is None else f"?after={after}"
    url = served.url(f"/events/ws{query}", "ws")
    return connect(url, additional_headers=served.headers, open_timeout=20)


def take(ws: ClientConnection, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while len(found) < count:
        found += json.loads(ws.recv(timeout=30))
    return found


def submit(sessions: Sessions) -> str:
    job = Job(id=jobs.new_id(JobKind.TRAINING), kind="training", queue="gpu", parameters={})
    with sessions.begin() as session:
        transitions.submit(session, job)
    return job.id


def get(served: Served, path: str) -> Any:
    answer = httpx.get(served.url(path), headers=served.headers, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_change_is_told_to_those_who_watch_and_to_those_who_come_back(
    served: Served, sessions: Sessions
) -> None:
    before = submit(sessions)
    with open_feed(served) as ws:
        [hello] = take(ws, 1)
        assert hello["type"] == "connected"
        job_id = submit(sessions)
        with sessions.begin() as session:
            transitions.request_cancel(session, job_id)
        queued, cancelled = take(ws, 2)
    assert (queued["type"], queued["data"]["id"]) == ("job.queued", job_id)
    assert (cancelled["type"], cancelled["data"]["kind"]) == ("job.cancelled", "training")
    for after in (hello["last_event_id"], queued["id"]):
        with open_feed(served, after) as ws:
            rest = [each["id"] for each in take(ws, 3 if after != queued["id"] else 2)[1:]]
        assert rest == [queued["id"], cancelled["id"]][-len(rest) :]
    with open_feed(served, "0-0") as ws:
        everything = take(ws, 4)[1:]
    assert [each["data"]["id"] for each in everything] == [before, job_id, job_id]
    page = get(served, "/events?limit=2")
    assert [each["id"] for each in page["events"]] == [each["id"] for each in everything[:2]]
    assert page["has_more"] is True
    rest = get(served, f"/events?after={page['next']}")
    assert ([each["type"] for each in rest["events"]], rest["has_more"]) == (
        ["job.cancelled"],
        False,
    )
    assert get(served, f"/events?after={rest['next']}")["events"] == []


def test_server_sent_events_are_the_same(served: Served, sessions: Sessions) -> None:
    job_id = submit(sessions)
    url, headers = served.url("/events/stream"), {**served.headers, "Last-Event-ID": "0-0"}
    with httpx.stream("GET", url, headers=headers, timeout=20) as answer:
        lines = answer.iter_lines()
        identity = next(each for each in lines if each.startswith("id: "))
        event = json.loads(next(lines).removeprefix("data: "))
    assert identity == f"id: {event['id']}"
    assert (event["type"], event["data"]["id"]) == ("job.queued", job_id)


def test_changes_of_many_at_once_come_once_each_to_all(served: Served, sessions: Sessions) -> None:
    submitted: list[str] = []
    seen: list[list[dict[str, Any]]] = []

    def watch(ws: ClientConnection) -> None:
        seen.append(take(ws, 1 + 4 * 25))

    with ExitStack() as open_now:
        sockets = [open_now.enter_context(open_feed(served)) for _ in range(4)]
        watchers = [threading.Thread(target=watch, args=(each,)) for each in sockets]
        makers = [
            threading.Thread(target=lambda: submitted.extend(submit(sessions) for _ in range(25)))
            for _ in range(4)
        ]
        until(lambda: get(served, "/status")["watchers"] == 4, 20, "four watch")
        for each in [*watchers, *makers]:
            each.start()
        for each in [*makers, *watchers]:
            each.join(timeout=60)
    assert len(seen) == 4
    for events in seen:
        assert sorted(each["data"]["id"] for each in events[1:]) == sorted(submitted)
        places = [tuple(map(int, each["id"].split("-"))) for each in events[1:]]
        assert places == sorted(places)


def test_who_was_away_for_too_long_is_told(served: Served, sessions: Sessions) -> None:
    first, second, third = (submit(sessions) for _ in range(3))
    events = get(served, "/events")["events"]
    assert [each["data"]["id"] for each in events] == [first, second, third]
    with sessions.begin() as session:
        assert changes.remove(session, older_than_seconds=0, most=2) == 2
    with open_feed(served, events[0]["id"]) as ws:
        _, gone, kept = take(ws, 3)
    assert (gone["type"], gone["id"], gone["after"]) == (
        "truncated",
        events[1]["id"],
        events[0]["id"],
    )
    assert kept == events[2]


@pytest.mark.parametrize("after", ["999999999-1", "x", "1"])
def test_a_cursor_that_is_none_is_refused(served: Served, after: str) -> None:
    with open_feed(served, after) as ws, pytest.raises(ConnectionClosed):
        ws.recv(timeout=20)
    assert ws.close_code == 4400
    for path in (f"/events?after={after}", f"/events/stream?after={after}"):
        answer = httpx.get(served.url(path), headers=served.headers, timeout=20)
        assert answer.status_code == 422, answer.text
    without = connect(served.url("/events/ws", "ws"), open_timeout=20)
    with without, pytest.raises(ConnectionClosed):
        without.recv(timeout=20)
    assert without.close_code == 4401
