"""Recording lessons and conversations, and having datasets made of them."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from academy.access.keys import Role
from academy.artifacts.store import ArtifactStore
from academy.lifecycle import FailureCode
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import transitions
from academy.store.jobs.transitions import Claim, Failure
from tests.waiting import until

NDJSON = "application/x-ndjson"
TASK = {
    "id": "mine",
    "messages": [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}],
    "outcome": "success",
}


def lines(*rows: dict[str, Any]) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def test_a_lesson_is_recorded_once_however_often_it_is_sent(admin) -> None:
    lesson = {"situation": "a", "solution": "b", "tags": ["x"], "source": "me", "quality": 0.5}
    first = admin.post("/lessons", json=lesson)
    assert first.status_code == 201
    assert (first.json["added"], first.json["known"]) == (1, 0)
    again = admin.post("/lessons", json={**lesson, "tags": ["y"]})
    assert (again.json["added"], again.json["known"]) == (0, 1)
    assert again.json["ids"] == first.json["ids"]
    shown = admin.get("/lessons").json
    assert shown["count"] == 1
    assert shown["lessons"][0]["tags"] == ["x"]


@pytest.mark.parametrize(
    ("path", "sent", "changed", "named"),
    [
        (
            "/lessons",
            {"id": "mine", "situation": "How to moor?", "solution": "With one rope."},
            {"solution": "With two ropes."},
            "solution",
        ),
        (
            "/lessons",
            {"id": "mine", "situation": "a", "solution": "b", "tags": ["x"], "quality": 0.5},
            {"tags": ["y"], "quality": 0.7},
            "tags, quality",
        ),
        (
            "/tasks",
            TASK,
            {"outcome": "failed"},
            "outcome",
        ),
        (
            "/runs",
            {"id": "mine", "prompt": "2+2?", "answer": "4"},
            {"answer": "5"},
            "messages",
        ),
    ],
)
def test_something_else_under_an_id_that_is_taken_is_refused_and_nothing_is_recorded(
    admin, path: str, sent: dict[str, Any], changed: dict[str, Any], named: str
) -> None:
    assert admin.post(path, json=sent).json["added"] == 1
    assert admin.post(path, json=sent).json["known"] == 1
    other = {**sent, "id": "other"}
    for body in (lines(other, sent | changed), lines(other, other | changed)):
        answer = admin.post(path, data=body, content_type=NDJSON)
        assert (answer.status_code, answer.json["code"]) == (409, "recorded_differently")
        assert named in answer.json["detail"]
    assert admin.post(path, json=other).json["added"] == 1


def test_an_id_that_only_looks_made_is_the_client_s_own(admin) -> None:
    lesson = {"id": f"lesson_{'a' * 24}", "situation": "a", "solution": "b", "tags": ["x", "y"]}
    assert admin.post("/lessons", json=lesson).json["added"] == 1
    assert admin.post("/lessons", json={**lesson, "tags": ["y", "x", "y"]}).json["known"] == 1
    answer = admin.post("/lessons", json={**lesson, "solution": "c"})
    assert (answer.status_code, answer.json["code"]) == (409, "recorded_differently")


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/lessons", {"id": "mine", "situation": "How to moor?", "solution": "With one rope."}),
        (
            "/tasks",
            TASK,
        ),
    ],
)
def test_what_was_deleted_can_be_sent_anew(admin, caller, path: str, sent: dict[str, Any]) -> None:
    admin.post(path, json=sent)
    assert caller(Role.VIEWER)("DELETE", f"{path}/mine").status_code == 403
    answer = admin("DELETE", f"{path}/mine")
    assert (answer.status_code, answer.json["id"]) == (200, "mine")
    missing = admin("DELETE", f"{path}/mine")
    assert (missing.status_code, missing.json["code"]) == (404, "not_found")
    assert admin.post(path, json=sent).json["added"] == 1


def test_many_lessons_are_recorded_at_once_and_listed_in_pages(admin) -> None:
    rows = [
        {"id": f"l{n}", "situation": f"s{n}", "solution": "b", "tags": [f"t{n % 2}"]}
        for n in range(700)
    ]
    answer = admin.post("/lessons", data=lines(*rows, rows[0]) + "\n\n", content_type=NDJSON)
    assert answer.status_code == 201, answer.text
    assert (answer.json["received"], answer.json["added"]) == (701, 700)
    seen: list[str] = []
    after = ""
    while after is not None:
        page = admin.get(f"/lessons?limit=300{after}").json
        seen += [each["id"] for each in page["lessons"]]
        after = f"&after={page['next']}" if page["has_more"] else None
    assert sorted(seen) == sorted(row["id"] for row in rows)
    assert admin.get("/lessons?tag=t1&limit=500").json["count"] == 350
    statistics = admin.get("/lessons/stats").json
    assert statistics["total_lessons"] == 700
    assert statistics["by_tag"] == {"t0": 350, "t1": 350}


def test_a_conversation_is_recorded(admin) -> None:
    turns = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
    answer = admin.post("/tasks", json={"messages": turns, "outcome": "success"})
    assert (answer.status_code, answer.json["added"]) == (201, 1)
    assert admin.get("/lessons/stats").json["tasks"] == {"success": 1}
    unanswered = admin.post("/tasks", json={"messages": turns[:1] * 2, "outcome": "success"})
    assert unanswered.status_code == 422
    assert "assistant" in unanswered.json["detail"]


@pytest.fixture
def repository(settings: Settings) -> Path:
    """A git repository inside the allowed roots."""
    folder = settings.git.roots[0] / "project"
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(folder)], check=True, timeout=20)
    return folder


def curate(sessions: Sessions, end: dict[str, Any] | Failure) -> None:
    """Take the queued curation and end it as a worker would."""
    jobs = []

    def is_claimed() -> bool:
        with sessions.begin() as session:
            jobs.append(transitions.claim(session, "curation", "worker-1", 60.0))
        return jobs[-1] is not None

    until(is_claimed, 20, "a curation is queued")
    job = jobs[-1]
    assert job is not None
    held = Claim(job.id, job.fence, job.attempt, "worker-1")
    with sessions.begin() as session:
        if isinstance(end, Failure):
            transitions.fail_or_retry(session, held, end, max_crashes=3, retry_seconds=0.0)
        else:
            transitions.finish(session, held, end)


RESULT = {
    "dataset_id": "dataset_x",
    "dataset_path": "/artifacts/datasets/00/dataset.jsonl",
    "statistics": {"total_examples": 190, "lessons_collected": 150},
}


def test_a_dataset_that_is_soon_done_is_the_answer(admin, sessions, repository) -> None:
    worker = threading.Thread(target=curate, args=(sessions, RESULT))
    worker.start()
    answer = admin.post(
        "/dataset",
        json={"lessons_limit": 200, "git_commits_limit": 100, "format": "alpaca"},
        headers={"Idempotency-Key": "d"},
    )
    worker.join(timeout=30)
    assert answer.status_code == 200
    body = answer.json
    assert body["success"] is True
    assert body["message"] == "Dataset curated successfully: 190 examples"
    assert body["dataset_path"] == RESULT["dataset_path"]
    assert body["statistics"] == RESULT["statistics"]
    again = admin.post(
        "/dataset",
        json={"lessons_limit": 200, "git_commits_limit": 100, "format": "alpaca"},
        headers={"Idempotency-Key": "d"},
    )
    assert again.json == body
    assert again.headers["Idempotency-Replayed"] == "true"
    assert admin.get("/jobs?kind=curation").json["count"] == 1


def test_a_dataset_that_takes_longer_is_found_at_its_location(admin, sessions) -> None:
    answer = admin.post("/dataset", json={"git_commits_limit": 0}, headers={"Prefer": "wait=0"})
    assert answer.status_code == 202
    where = answer.headers["Location"].removeprefix("/api/v1/academy")
    assert admin.get(where).status_code == 202
    curate(sessions, RESULT)
    done = admin.get(where)
    assert (done.status_code, done.json["dataset_id"]) == (200, "dataset_x")


def test_a_curation_that_fails_answers_with_its_code(admin, sessions) -> None:
    failure = Failure(FailureCode.BAD_DATASET, "No row was left.", "Add lessons.")
    worker = threading.Thread(target=curate, args=(sessions, failure))
    worker.start()
    answer = admin.post("/dataset", json={"git_commits_limit": 0})
    worker.join(timeout=30)
    assert (answer.status_code, answer.json["code"]) == (422, "bad_dataset")
    assert answer.json["detail"] == "No row was left."
    assert answer.json["next_step"] == "Add lessons."


def test_a_dataset_is_listed_looked_into_and_downloaded(
    admin, dataset: str, settings: Settings
) -> None:
    listed = admin.get("/datasets").json
    assert (listed["count"], listed["datasets"][0]["dataset_id"]) == (1, dataset)
    shown = admin.get(f"/datasets/{dataset}").json
    assert shown["train_rows"] == 12
    assert Path(shown["dataset_path"]).is_file()
    first = admin.get(f"/datasets/{dataset}/rows?limit=10").json
    assert (first["count"], first["has_more"], first["next"]) == (10, True, 10)
    rest = admin.get(f"/datasets/{dataset}/rows?limit=10&after=10").json
    assert [each["id"] for each in rest["rows"]] == ["r10", "r11"]
    assert rest["next"] is None
    assert admin.get(f"/datasets/{dataset}/rows?split=heldout").json["count"] == 1
    drops = admin.get(f"/datasets/{dataset}/drops?filter=bot").json["drops"]
    assert drops == [{"filter": "bot", "reason": "a bot"}]
    file = admin.get(f"/datasets/{dataset}/download", buffered=True)
    assert file.mimetype == NDJSON
    assert len(file.text.splitlines()) == 12
    assert dataset in file.headers["Content-Disposition"]
    statistics = admin.get(f"/datasets/{dataset}/download?file=statistics", buffered=True)
    assert statistics.json == {"total_examples": 12}
    assert admin.get(f"/datasets/{dataset}/download?file=passwd").status_code == 422


def test_a_dataset_whose_files_changed_is_not_shown(
    admin, dataset: str, settings: Settings
) -> None:
    key = Path(admin.get(f"/datasets/{dataset}").json["dataset_path"]).parent.name
    folder = ArtifactStore(settings).fetch(f"datasets/{key}")
    path = folder / "train.jsonl"
    text = path.read_text()
    path.unlink()  # the store's file may be a hard link to the original
    path.write_text(text + "{}\n")
    answer = admin.get(f"/datasets/{dataset}/rows")
    assert (answer.status_code, answer.json["code"]) == (409, "digest_mismatch")
