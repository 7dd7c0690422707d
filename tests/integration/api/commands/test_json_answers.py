"""With --json each command prints exactly one JSON document, whatever it says to people."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from academy.store.engine import Sessions
from academy.store.jobs import workers
from tests.commands import can_run, every_command

Run = Callable[..., str]

#: Those that start or check processes of this machine (`tests/unit/cli`, `tests/acceptance`), and
#: those that a model server has to answer.
OTHERS = {
    *("up", "down", "doctor", "migrate", "api", "worker", "keeper", "runtime"),
    *("activate", "rollback", "chat", "preflight"),
    # `tests/integration/api/test_adapter_download.py` has an adapter with files.
    "adapters download",
}
#: They need a row of their own, which `test_what_takes_a_file_says_as_json_what_came_of_it` makes.
OF_FILES = {"dataset", "dataset upload", "dataset diff", "dataset card", "dataset download"}


def test_each_command_prints_one_document(
    run: Run, sessions: Sessions, dataset: str, adapter: str, tmp_path: Path
) -> None:
    asked: set[str] = set()

    def ask(name: str, *more: str) -> Any:
        asked.add(name)
        return json.loads(run(*name.split(), *more, "--json"))

    file = tmp_path / "lessons.jsonl"
    file.write_text('{"situation": "a", "solution": "b"}\n')
    assert ask("lessons import", str(file)) == {
        "file": str(file),
        "received": 1,
        "added": 1,
        "known": 0,
    }
    added = ask("lessons add", "--situation", "c", "--solution", "d")
    assert added["added"] == 1
    assert ask("lessons list")["count"] == 2
    assert ask("lessons delete", added["ids"][0])["success"]
    job_id = ask("train", "--set", "role=coder")["job_id"]
    assert ask("pause", job_id)["status"] == "paused"
    assert ask("resume", job_id)["status"] == "queued"
    assert ask("cancel", job_id)["status"] == "cancelled"
    assert ask("logs", job_id)["job_id"] == job_id
    assert ask("metrics", job_id)["metrics"] == []
    assert ask("submit", "curation")["kind"] == "curation"
    assert ask("jobs")["count"] == 2
    assert ask("kinds")["count"] > 1
    assert ask("status")["jobs"]["total"] >= 1
    assert [each["adapter_id"] for each in ask("adapters")] == [adapter]
    assert ask("adapters delete", adapter)["success"]
    assert ask("dataset list")["count"] == 1
    with sessions.begin() as session:
        workers.seen(session, "w-1", queue="gpu", host="h", pid=1, versions={}, gpus=[])
    assert ask("workers")["count"] == 1
    assert ask("drain", "w-1")["success"]
    assert ask("shares", "role:coder", "--weight", "2")["shares"]
    assert ask("schedules add", "ok", "curation", "--every", "6h")["name"] == "ok"
    assert ask("schedules show", "ok")["every"] == 21600
    assert ask("schedules set", "ok", "--disable")["enabled"] is False
    assert ask("schedules list")["count"] == 1
    assert ask("schedules remove", "ok")["success"]
    sweep = ask("sweep start", "lora_rank=8,16")["sweep_id"]
    assert ask("sweep show", sweep)["sweep_id"] == sweep
    assert ask("sweep list")["count"] == 1
    assert ask("sweep cancel", sweep)["success"]
    key = ask("keys create", "somebody")
    assert ask("keys list")["count"] >= 2
    assert ask("keys revoke", key["id"])["success"]
    hook = ask("webhooks add", "https://8.8.8.8/hook", "--event", "job.*", "--disabled")
    assert hook["secret"].startswith("whsec_")
    assert ask("webhooks list")["count"] == 1
    assert ask("webhooks set", hook["id"], "--enable")["enabled"] is True
    assert ask("webhooks rotate", hook["id"])["secret"] != hook["secret"]
    sent = ask("webhooks test", hook["id"])
    assert sent["type"] == "webhook.test"
    assert ask("webhooks repeat", hook["id"], sent["id"])["repeats"] == sent["id"]
    assert ask("webhooks deliveries", hook["id"], "--state", "pending")["count"] == 2
    assert ask("webhooks remove", hook["id"])["success"]
    assert "?ticket=" in ask("ticket")["dashboard"]
    assert ask("dataset delete", dataset)["success"]
    there = {name for name, each in every_command(hidden=False) if can_run(each)}
    assert asked | OF_FILES | OTHERS == there


def test_what_takes_a_file_says_as_json_what_came_of_it(
    run: Run, curator: None, tmp_path: Path
) -> None:
    file, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows = [{"prompt": f"Where is tool {n * 7}?", "completion": f"In {n * 11}."} for n in range(9)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = json.loads(run("dataset", "upload", str(file), "--split", "0", "--json"))
    one = made["dataset_id"]
    run("lessons", "import", str(Path(__file__).parents[4] / "examples" / "lessons.jsonl"))
    curated = json.loads(run("dataset", "--git-commits-limit", "0", "--json"))
    assert curated["dataset_id"] != one
    compared = json.loads(run("dataset", "diff", one, curated["dataset_id"], "--json"))
    assert compared["counts"]["removed"] == 9
    assert "9 examples" in json.loads(run("dataset", "card", one, "--json"))["card"]
    written = json.loads(run("dataset", "download", one, "-o", str(out), "--json"))
    assert written == {"path": str(out), "bytes": out.stat().st_size}
    with pytest.raises(SystemExit):
        run("dataset", "download", one, "--json")
