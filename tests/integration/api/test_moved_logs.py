"""What clients see of a log that lies in the artifact store, and of a store that is away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from academy.artifacts.store import ArtifactStore
from academy.events import moving, stream
from academy.events.objects import LogObjects
from academy.events.sender import EventSender
from academy.lifecycle import Status
from academy.settings import Settings
from academy.store.engine import Sessions

#: What the fixture `served` gives (conftest.py).
Served = Any


@pytest.fixture
def moved(settings: Settings, sessions: Sessions, job_id: str) -> Callable[[], Path]:
    """Writes a log of 3,000 lines, ends the job and moves the log; the object's folder."""
    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
        for number in range(3000):
            events.emit("log", message=f"line {number:04} żółw")
        events.emit("status", status=Status.FINISHED)

    def move() -> Path:
        stream.shared(settings).delete(stream.key_of(job_id))
        assert moving.move(settings, sessions, LogObjects(settings), job_id)
        root = ArtifactStore(settings).local_root
        assert root is not None
        return root / ArtifactStore(settings).children("logs")[0]

    return move


def answers(served: Served, job_id: str) -> dict[str, str]:
    """What every route that reads a log says."""
    found = {}
    for path in (
        f"/jobs/{job_id}/logs?limit=50&after=1-1200",
        f"/jobs/{job_id}/logs?q=0%20%C5%BC%C3%B3%C5%82w&limit=500",
        f"/jobs/{job_id}/logs?download=1",
        f"/jobs/{job_id}",
    ):
        answer = httpx.get(served.url(path), headers=served.headers, timeout=20)
        assert answer.status_code == 200, answer.text
        found[path] = answer.text
    # The status of now has a time of now.
    status = json.loads(found.pop(f"/jobs/{job_id}"))
    found["tail"] = json.dumps([status["logs"], status["last_event_id"]])
    events = httpx.get(
        served.url(f"/jobs/{job_id}/logs/stream"),
        headers={**served.headers, "Last-Event-ID": "1-700"},
        timeout=20,
    )
    lines = events.text.splitlines()
    found["stream"] = "\n".join(each for each in lines if '"connected"' not in each)
    return found


def test_every_answer_is_as_it_was_before_the_log_was_moved(
    served: Served, job_id: str, moved: Callable[[], Path]
) -> None:
    before = answers(served, job_id)
    assert before["stream"].count("\nid: ") + before["stream"].startswith("id: ") == 2301
    moved()
    assert answers(served, job_id) == before


def test_a_log_that_the_store_does_not_give_is_told_and_the_job_still_has_its_end(
    served: Served, job_id: str, moved: Callable[[], Path]
) -> None:
    folder = moved()
    hidden = folder.rename(folder.with_name("hidden"))
    page = httpx.get(served.url(f"/jobs/{job_id}/logs"), headers=served.headers, timeout=20)
    assert (page.status_code, page.json()["code"]) == (503, "storage")
    assert "did not give 'logs/" in page.json()["detail"]
    status = httpx.get(served.url(f"/jobs/{job_id}"), headers=served.headers, timeout=20).json()
    assert status["logs"].endswith("\nline 2999 żółw")
    assert httpx.get(
        served.url(f"/jobs/{job_id}/logs?after=1-2801"), headers=served.headers, timeout=20
    ).json()["has_more"]
    url = served.url(f"/jobs/{job_id}/logs/ws", "ws")
    with (
        connect(url, additional_headers=served.headers, open_timeout=20) as ws,
        pytest.raises(ConnectionClosed) as closed,
    ):
        while True:
            ws.recv(timeout=20)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1013
    assert closed.value.rcvd.reason.startswith("the artifact store does not give the log")
    events = httpx.get(
        served.url(f"/jobs/{job_id}/logs/stream"), headers=served.headers, timeout=20
    ).text
    assert '"type": "error"' in events.replace('":"', '": "') and "artifact store" in events
    hidden.rename(folder)
    page = httpx.get(served.url(f"/jobs/{job_id}/logs"), headers=served.headers, timeout=20)
    assert page.json()["lines"][0]["message"] == "line 0000 żółw"
    assert "Traceback" not in served.log.read_text()
