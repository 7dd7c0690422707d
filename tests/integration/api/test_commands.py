"""The commands for workers, shares, schedules and pauses, against an API process."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from academy.errors import AcademyError, NotFound
from academy.store.engine import Sessions
from academy.store.jobs import transitions, workers
from academy.store.jobs.slots import Offer
from academy.store.jobs.tables import Worker

Run = Callable[..., str]


def test_schedules_are_added_changed_listed_and_removed(run: Run) -> None:
    assert "There are no schedules" in run("schedules", "list")
    added = run(
        "schedules", "add", "nightly", "training", "--cron", "30 2 * * *", "--set", "seed=7"
    )
    assert "nightly: 30 2 * * * UTC, next at" in added
    run("schedules", "add", "soon", "curation", "--every", "90", "--disabled", "--overlap", "skip")
    listed = run("schedules", "list")
    assert "every 90 s" in listed and "disabled" in listed
    changed = run("schedules", "set", "nightly", "--every", "6h", "--set", "lora_rank=8")
    assert "every 21600 s" in changed
    run("schedules", "set", "nightly", "--only-if-new")
    shown = json.loads(run("schedules", "show", "nightly", "--json"))
    assert shown["request"] == {"seed": 7, "lora_rank": 8} and shown["cron"] is None
    assert (shown["only_if_new"], shown["overlap"]) == (True, "allow")
    assert json.loads(run("schedules", "show", "soon", "--json"))["overlap"] == "skip"
    told = run("schedules", "show", "nightly")
    assert "every 21600 s" in told and "request: lora_rank" in told and "{" not in told
    assert "disabled" in run("schedules", "set", "nightly", "--disable")
    assert "deleted" in run("schedules", "remove", "nightly")
    with pytest.raises(AcademyError, match="cron"):
        run("schedules", "add", "bad", "curation", "--cron", "61 * * * *")
    with pytest.raises(AcademyError, match="nightly"):
        run("schedules", "show", "nightly")


def test_workers_show_their_job_and_device_and_can_be_drained(
    run: Run, sessions: Sessions, dataset: str
) -> None:
    assert "No worker was heard of" in run("workers")
    job_id = run("train").strip()
    with sessions.begin() as session:
        gpu = {"uuid": "GPU-1", "name": "H200", "utilization": 0.5, "obstacle": None}
        facts = {"queue": "gpu", "host": "h", "pid": 1, "versions": {}}
        workers.seen(session, "w-1", gpus=[gpu], **facts)
        workers.seen(session, "w-2", gpus=[gpu], obstacle="GPU-1 is reserved", **facts)
        for each in ("w-1", "w-2"):  # however busy the machine is, they are not to fall silent
            session.get_one(Worker, each).last_seen_at = datetime(2100, 1, 1, tzinfo=UTC)
    with sessions.begin() as session:
        offer = Offer("h", ("GPU-1",))
        assert transitions.claim(session, "gpu", "w-1", 60, offer) is not None
    listed = run("workers")
    assert "w-1" in listed and job_id in listed and "H200 50%" in listed and "working" in listed
    assert "blocked" in listed and "w-2 takes no jobs: GPU-1 is reserved" in listed
    shown = {each["id"]: each for each in json.loads(run("workers", "--json"))["workers"]}
    assert (shown["w-1"]["job_id"], shown["w-2"]["job_id"]) == (job_id, None)
    assert shown["w-2"]["gpus"][0]["job_id"] == job_id  # who holds the device
    assert "asked to let go" in run("drain", "w-1")
    assert "draining" in run("workers")
    with pytest.raises(AcademyError, match="nobody"):
        run("drain", "nobody")


def test_a_job_is_paused_and_resumed_and_its_share_gets_a_weight(run: Run, dataset: str) -> None:
    job_id = run("train", "--set", "role=coder").strip()
    assert "paused" in run("pause", job_id)
    assert "queued again" in run("resume", job_id)
    shown = run("shares", "role:coder", "--weight", "2.5").split()
    assert shown[-4:] == ["role:coder", "2.5", "0", "1"]
    with pytest.raises(SystemExit):
        run("shares", "role:coder")


def test_an_id_that_looks_like_a_path_touches_nothing_else(run: Run) -> None:
    run("schedules", "add", "ok", "curation", "--every", "6h")
    for word in ("../schedules/ok", "a/b?x=1", "", ".", ".."):
        for command in (
            ["cancel"],
            ["pause"],
            ["resume"],
            ["logs"],
            ["logs", "-f"],
            ["drain"],
            ["schedules", "show"],
            ["schedules", "set", "--disable"],
            ["schedules", "remove"],
            ["sweep", "show"],
            ["sweep", "cancel"],
            ["dataset", "card"],
            ["dataset", "download"],
            ["keys", "revoke"],
            ["shares", "--weight", "2"],
        ):
            with pytest.raises(NotFound, match=r"^There is no \w+ ") as caught:
                run(*command, word)
            assert repr(word) in str(caught.value)
    for word in ("ok?x=1", "ok#x", "%2e%2e%2fschedules%2fok"):
        with pytest.raises(AcademyError) as refused:
            run("cancel", word)
        assert str(refused.value) == f"There is no job {word!r}."
    assert json.loads(run("schedules", "show", "ok", "--json"))["enabled"] is True


def test_a_file_of_lessons_may_hold_any_character_that_ends_a_line_elsewhere(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "lessons.jsonl"
    lesson = {"situation": "Where\u2028is\u0085it?", "solution": "In the\u2029drawer."}
    lines = [json.dumps(lesson, ensure_ascii=False), "", '{"situation": "a", "solution": "b"}']
    file.write_bytes("\r\n".join(lines).encode())
    assert run("lessons", "import", str(file)) == f"2 lessons of {file} are recorded.\n"
    listed = json.loads(run("lessons", "list", "--json"))["lessons"]
    assert lesson["situation"] in [each["situation"] for each in listed]


def test_what_set_cannot_mean_queues_nothing(run: Run) -> None:
    for pairs in (["min_quality=NaN"], ["seed=1e400"], ['a={"b":1,"b":2}'], ["a=1", "a=2"]):
        words = [word for pair in pairs for word in ("--set", pair)]
        with pytest.raises(AcademyError, match=r"^(min_quality|seed|a) is "):
            run("submit", "curation", *words)
    assert "There are no such jobs" in run("jobs")
