"""Starting trainings, steering them, and looking at what became of them."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from academy.events import history
from academy.events.sender import EventSender
from academy.lifecycle import FailureCode, JobKind, Status
from academy.settings import Settings
from academy.store.data import datasets
from academy.store.engine import Sessions
from academy.store.jobs import jobs, leases, transitions
from academy.store.jobs.transitions import Claim, Failure
from academy.store.models import adapters
from academy.store.models.tables import Adapter

WORKER = "worker-1"


def claim(sessions: Sessions, queue: str = "gpu") -> Claim:
    """What a worker does first."""
    with sessions.begin() as session:
        job = transitions.claim(session, queue, WORKER, 60.0)
        assert job is not None, "no job is queued"
        held = Claim(job.id, job.fence, job.attempt, WORKER)
        transitions.start(session, held)
    return held


def test_a_training_is_queued_with_the_seeds_answer(admin, dataset, sessions) -> None:
    answer = admin.post("/train", json={"lora_rank": 8, "num_epochs": 2, "name": "first"})
    assert answer.status_code == 202
    body = answer.json
    assert (body["success"], body["message"]) == (True, "Training started successfully")
    assert body["parameters"]["lora_rank"] == 8
    assert body["parameters"]["batch_size"] == 4
    assert body["dataset_id"] == dataset
    assert answer.headers["Location"] == f"/api/v1/academy/train/{body['job_id']}/status"
    with sessions() as session:
        job = jobs.get(session, body["job_id"], JobKind.TRAINING)
    assert (job.status, job.created_by) == (Status.QUEUED, "the admin")


def test_a_job_shows_how_it_is_launched(app, admin, dataset, settings) -> None:
    limits = {"memory_bytes": 1 << 30, "wall_seconds": 60.0}
    job_id = admin.post("/train", json={"limits": limits}).json["job_id"]
    shown = admin.get(f"/train/{job_id}/status").json["launch"]
    assert (shown["launcher"], shown["image"], shown["network"]) == ("native", None, False)
    assert shown["limits"] == limits | {"cpu_seconds": None, "cpus": None}
    assert shown["refused"] is None
    # The settings have become stricter since.
    stricter = settings.changed(trainer_memory_bytes=1 << 29)
    app.extensions["academy"] = replace(app.extensions["academy"], settings=stricter)
    [listed] = admin.get("/jobs").json["jobs"]
    assert "at most" in listed["launch"]["refused"]
    assert listed["launch"]["limits"]["memory_bytes"] == 1 << 30


def test_the_same_idempotency_key_makes_one_job_and_gives_one_answer(admin, dataset) -> None:
    headers = {"Idempotency-Key": "once"}
    first = admin.post("/train", json={"lora_rank": 8, "seed": 1}, headers=headers)
    again = admin.post(
        "/train",
        data=b'{ "seed": 1, "lora_rank": 8 }',
        content_type="application/json",
        headers=headers,
    )
    assert again.json == first.json
    assert again.status_code == 202
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    other = admin.post("/train", json={"lora_rank": 16, "seed": 1}, headers=headers)
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    elsewhere = admin.post("/lessons", json={"situation": "a", "solution": "b"}, headers=headers)
    assert elsewhere.json["code"] == "idempotency_key_reused"
    assert admin.get("/jobs").json["count"] == 1


def test_concurrent_requests_with_one_idempotency_key_make_one_job(admin, dataset) -> None:
    answers: list[Any] = []
    barrier = threading.Barrier(8)

    def send() -> None:
        barrier.wait(timeout=20)
        client = type(admin)(admin.http.application.test_client(), admin.key)
        answers.append(client.post("/train", json={}, headers={"Idempotency-Key": "race"}))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert {answer.status_code for answer in answers} <= {202, 409}
    made = {answer.json["job_id"] for answer in answers if answer.status_code == 202}
    assert len(made) == 1
    assert {a.json["code"] for a in answers if a.status_code == 409} <= {"request_in_flight"}
    assert admin.get("/jobs").json["count"] == 1


def test_a_request_that_fails_can_be_sent_again_with_its_key(admin, request) -> None:
    headers = {"Idempotency-Key": "later"}
    assert admin.post("/train", json={}, headers=headers).status_code == 422
    request.getfixturevalue("dataset")
    assert admin.post("/train", json={}, headers=headers).status_code == 202


def test_a_dataset_that_is_too_small_says_how_many_rows_are_missing(
    admin, dataset, settings, sessions
) -> None:
    with sessions.begin() as session:
        datasets.register(
            session,
            id="small",
            digest="sha256:0",
            key="datasets/0",
            format="alpaca",
            train_rows=3,
            heldout_rows=0,
            statistics={},
            request={},
        )
    answer = admin.post("/train", json={"dataset_id": "small"})
    assert (answer.status_code, answer.json["code"]) == (422, "dataset_too_small")
    assert f"so {settings.training.min_rows - 3} are missing" in answer.json["detail"]


def test_the_status_of_a_running_job_has_progress_figures_and_last_lines(
    admin, dataset, settings: Settings, sessions: Sessions
) -> None:
    job_id = admin.post("/train", json={}).json["job_id"]
    queued = admin.get(f"/train/{job_id}/status").json
    assert (queued["status"], queued["logs"], queued["started_at"]) == ("queued", "", None)
    held = claim(sessions)
    progress = {
        "step": 5,
        "progress": 0.5,
        "loss": 1.5,
        "eta_seconds": 30.0,
        "eta_low": 20.0,
        "eta_high": 45.0,
        "stage": "train",
        "best_loss": 1.25,
        "average_loss": 1.75,
        "first_loss": 2.0,
    }
    with sessions.begin() as session:
        leases.renew(session, held, 60.0, progress)
    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
        for number in range(70):
            events.emit("log", level="info", message=f"line {number}")
            events.emit("metrics", step=number, loss=2.0)
    body = admin.get(f"/train/{job_id}/status").json
    assert body["status"] == "running"
    assert body["started_at"].endswith("Z")
    assert body["finished_at"] is None and body["adapter_path"] is None
    assert body["logs"].splitlines()[-1] == "line 69"
    assert len(body["logs"].splitlines()) == 50
    assert (body["progress"], body["eta_seconds"], body["stage"]) == (0.5, 30.0, "train")
    assert body["metrics"]["best_loss"] == 1.25
    assert body["metrics"]["latest"] == {
        "step": 5,
        "progress": 0.5,
        "loss": 1.5,
        "eta_seconds": 30.0,
        "eta_low": 20.0,
        "eta_high": 45.0,
    }
    (listed,) = admin.get("/jobs?kind=training").json["jobs"]
    for name in ("progress", "eta_seconds", "eta_low", "eta_high"):
        assert listed[name] == body[name] == progress[name]
    assert (body["attempt"], body["worker"], body["failure"]) == (1, WORKER, None)
    assert body["last_event_id"] == "1-140"
    with sessions.begin() as session:
        transitions.stopped(session, held)
    again = admin.get(f"/train/{job_id}/status").json
    assert (again["status"], again["progress"], again["eta_seconds"]) == ("queued", 0.5, None)


def test_a_failed_job_says_why_and_what_to_do(admin, dataset, sessions) -> None:
    job_id = admin.post("/train", json={}).json["job_id"]
    failure = Failure(FailureCode.DIVERGED, "The loss became NaN.", "Lower learning_rate.")
    with sessions.begin() as session:
        transitions.fail_or_retry(
            session, claim(sessions), failure, max_crashes=3, retry_seconds=0.0
        )
    body = admin.get(f"/train/{job_id}/status").json
    assert body["status"] == "failed"
    assert body["failure"] == {
        "code": "diverged",
        "message": "The loss became NaN.",
        "next_step": "Lower learning_rate.",
    }
    history = admin.get(f"/jobs/{job_id}/transitions").json["transitions"]
    assert [each["to_status"] for each in history] == ["queued", "preparing", "running", "failed"]
    assert history[-1]["reason"] == "error"


def test_a_finished_job_shows_its_adapter_and_cannot_be_cancelled(
    admin, dataset, settings: Settings, sessions: Sessions
) -> None:
    job_id = admin.post("/train", json={}).json["job_id"]
    held = claim(sessions)
    with sessions.begin() as session:
        transitions.finish(session, held, {"adapter_id": job_id, "adapter_key": "adapters/00"})
        adapters.register(
            session,
            Adapter(
                id=job_id,
                digest="sha256:00",
                key="adapters/00",
                job_id=job_id,
                base_model="tiny",
                parameters={},
                metrics={},
                code_version="0",
            ),
        )
    body = admin.get(f"/train/{job_id}/status").json
    assert body["adapter_path"] == f"{settings.artifacts_url}/adapters/00"
    assert (body["progress"], body["eta_seconds"]) == (1.0, None)
    answer = admin("DELETE", f"/train/{job_id}")
    assert (answer.status_code, answer.json["code"]) == (409, "conflict")
    assert "finished" in answer.json["detail"]


def test_cancelling_answers_with_the_state_it_reached(admin, dataset, sessions) -> None:
    queued = admin.post("/train", json={}).json["job_id"]
    answer = admin("DELETE", f"/train/{queued}")
    assert answer.status_code == 200
    assert answer.json == {
        "success": True,
        "message": "Training job cancelled",
        "job_id": queued,
        "status": "cancelled",
    }
    stream = admin.get(f"/train/{queued}/logs/stream")
    assert '"status":"cancelled"' in stream.text, "a watcher must learn that it is over"
    running = admin.post("/train", json={}).json["job_id"]
    claim(sessions)
    assert admin("DELETE", f"/train/{running}").json["status"] == "cancelling"
    assert admin("DELETE", f"/train/{running}").json["status"] == "cancelling"


def test_a_job_is_paused_and_resumed(admin, dataset, sessions) -> None:
    job_id = admin.post("/train", json={}).json["job_id"]
    assert admin.post(f"/train/{job_id}/resume").status_code == 409
    assert admin.post(f"/train/{job_id}/pause").json["status"] == "paused"
    assert admin.post(f"/train/{job_id}/resume").json["status"] == "queued"
    held = claim(sessions)
    assert admin.post(f"/train/{job_id}/pause").json["status"] == "pausing"
    with sessions.begin() as session:
        assert transitions.stopped(session, held) == Status.PAUSED
    assert admin.post(f"/train/{job_id}/resume", json={}).json["status"] == "queued"


def test_jobs_are_listed_in_pages_without_gap_or_repetition(admin, dataset) -> None:
    made = [admin.post("/train", json={"role": "coder"}).json["job_id"] for _ in range(5)]
    made.append(admin.post("/train", json={"role": "writer"}).json["job_id"])
    seen: list[str] = []
    path = "/jobs?limit=4"
    while path:
        answer = admin.get(path)
        seen += [job["job_id"] for job in answer.json["jobs"]]
        assert answer.json["count"] == len(answer.json["jobs"])
        link = answer.headers.get("Link")
        assert answer.json["has_more"] == (link is not None)
        path = link.split(">")[0].removeprefix("</api/v1/academy") if link else ""
    assert seen == made[::-1]
    assert admin.get("/jobs?role=writer").json["count"] == 1
    assert admin.get("/jobs?status=running").json == {
        "count": 0,
        "jobs": [],
        "has_more": False,
        "next": None,
    }
    assert admin.get("/jobs?kind=curation").json["count"] == 0


@pytest.fixture
def logged(admin, dataset, settings: Settings, sessions: Sessions) -> str:
    """A job with 30 lines, 20 steps (one of them done twice) and a checkpoint."""
    job_id: str = admin.post("/train", json={}).json["job_id"]
    with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
        for number in range(30):
            events.emit("log", level="info", message=f"Line {number} {'odd' if number % 2 else ''}")
        for step in range(1, 11):
            events.emit("metrics", step=step, loss=10.0 - step)
        events.emit("checkpoint", step=10, digest="sha256:00")
    with EventSender(settings, sessions) as sender, sender.open(job_id, 2) as events:
        for step in range(10, 21):
            events.emit("metrics", step=step, loss=100.0 - step)
        events.emit("evaluation", name="adapter", step=20, loss=1.0, rows=3)
    return job_id


def test_a_log_is_read_in_pages_searched_and_downloaded(admin, logged: str) -> None:
    first = admin.get(f"/train/{logged}/logs?limit=20").json
    assert (first["count"], first["has_more"]) == (20, True)
    rest = admin.get(f"/train/{logged}/logs?limit=20&after={first['next']}").json
    assert (rest["count"], rest["has_more"]) == (10, False)
    lines = [each["message"] for each in first["lines"] + rest["lines"]]
    assert lines == [f"Line {n} {'odd' if n % 2 else ''}" for n in range(30)]
    found = admin.get(f"/train/{logged}/logs?q=ODD").json
    assert found["count"] == 15
    text = admin.get(f"/train/{logged}/logs?download=1")
    assert text.mimetype == "text/plain"
    assert logged in text.headers["Content-Disposition"]
    assert len(text.text.splitlines()) == 30


def test_a_search_looks_through_a_part_of_a_long_log_and_says_where_it_goes_on(
    admin, logged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SEARCHED", 8)
    found: list[str] = []
    after, pages, empty = "", 0, 0
    while True:
        page = admin.get(f"/train/{logged}/logs?q=line+2&limit=3&after={after}").json
        found += [each["message"].strip() for each in page["lines"]]
        pages, empty = pages + 1, empty + (not page["lines"])
        if not page["has_more"]:
            break
        after = page["next"]
    assert [each.split()[1] for each in found] == ["2", *map(str, range(20, 30))]
    assert (pages > 5, empty > 0) == (True, True)
    strange = admin.get(f"/train/{logged}/logs?q=%22").json
    assert (strange["lines"], strange["has_more"]) == ([], True)


def test_the_series_of_a_training_counts_each_step_once(admin, logged: str) -> None:
    body = admin.get(f"/train/{logged}/metrics").json
    assert [each["step"] for each in body["metrics"]] == list(range(1, 21))
    assert body["metrics"][9]["loss"] == 90.0, "the resumed attempt's figure counts"
    assert body["evaluations"][0]["loss"] == 1.0
    thin = admin.get(f"/train/{logged}/metrics?points=5").json
    assert thin["count"] == 20
    assert [each["step"] for each in thin["metrics"]] == [1, 6, 11, 15, 20]
    kept = admin.get(f"/train/{logged}/checkpoints").json
    assert kept["checkpoints"][0]["digest"] == "sha256:00"
