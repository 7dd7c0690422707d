"""No list cuts or breaks an id, a name or a path: at no width of a terminal, and in no pipe."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import transitions, workers
from academy.store.jobs.tables import Job, Worker
from academy.store.models import adapters
from academy.store.models.tables import Adapter
from academy.sweeps.advance import advance_sweeps
from tests.commands import every_command

Run = Callable[..., str]

JOB = "training_20261201_004508_" + "j" * 40
ADAPTER = "training_20261201_004509_" + "a" * 100
LESSON = "lesson-" + "l" * 121
SCHEDULE = "s" * 63
SHARE = "role:" + "r" * 63
KEY = "The key of " + "k" * 89
WORKER = "host-" + "w" * 64 + "-gpu-123456-abcd"

#: Commands that print a table without ids: a training's figures, and a comparison's counts, whose
#: rows `test_dataset_commands` looks at.
OTHERS = {"preflight", "dataset diff", "metrics"}


def tables() -> set[str]:
    """The commands that print a table."""
    return {
        name
        for name, each in every_command(hidden=False)
        if each.callback is not None and "print_table(" in inspect.getsource(each.callback)
    }


@pytest.fixture
def wanted(
    run: Run, sessions: Sessions, settings: Settings, dataset: str, tmp_path: Path
) -> dict[str, list[str]]:
    """An installation with the longest ids there can be: each command, and what it has to show."""
    lesson = tmp_path / "lesson.jsonl"
    body = {"id": LESSON, "situation": "a word " * 40, "solution": "another " * 40}
    lesson.write_text(json.dumps(body))
    run("lessons", "import", str(lesson))
    run("schedules", "add", SCHEDULE, "training", "--every", "6h", "--set", "seed=7")
    run("keys", "create", KEY)
    run("shares", SHARE, "--weight", "2.5")
    sweep = run("sweep", "start", "lora_rank=8,16").strip()
    assert advance_sweeps(sessions, settings) is not None
    shown = json.loads(run("sweep", "show", sweep, "--json"))
    trials = [each["job_id"] for each in shown["trials"]]
    with sessions.begin() as session:
        transitions.submit(session, Job(id=JOB, kind="training", queue="gpu", parameters={}))
        adapters.register(
            session,
            Adapter(
                id=ADAPTER,
                digest="sha256:" + "0" * 64,
                key="adapters/" + "0" * 64,
                base_model="models--of--somebody--with-a-long-name",
                parameters={},
                metrics={},
                code_version="0",
            ),
        )
        workers.seen(session, WORKER, queue="gpu", host="h", pid=1, versions={}, gpus=[])
        session.get_one(Worker, WORKER).last_seen_at = datetime(2100, 1, 1, tzinfo=UTC)
    key = json.loads(run("keys", "list", "--json"))["keys"][0]["id"]
    url = "https://8.8.8.8/" + "u" * 200
    webhook = json.loads(run("webhooks", "add", url, "--json"))["id"]
    delivery = json.loads(run("webhooks", "test", webhook, "--json"))["id"]
    path = f"{settings.artifacts_url}/adapters/{'0' * 64}"
    assert trials
    return {
        "jobs": [JOB, *trials],
        "adapters": [ADAPTER, "models--of--somebody--with-a-long-name", path],
        "lessons list": [LESSON],
        "dataset list": [dataset],
        "schedules list": [SCHEDULE],
        f"schedules show {SCHEDULE}": [SCHEDULE],
        "keys list": [key, KEY],
        "webhooks list": [webhook, url],
        f"webhooks deliveries {webhook}": [webhook, delivery],
        "shares": [SHARE],
        "sweep list": [sweep],
        f"sweep show {sweep}": trials,
        "workers": [WORKER],
        "status": [WORKER, f"runtime {settings.serving.urls[0]}"],
        "kinds": ["curation", "training"],
    }


def test_every_table_keeps_what_is_there_to_be_copied(
    run: Run, wanted: dict[str, list[str]], at_terminal: Any
) -> None:
    named = {re.sub(r"^(\w+ (?:show|deliveries)) .*", r"\1", each) for each in wanted}
    assert named == tables() - OTHERS
    for words, ids in wanted.items():
        in_pipe = run(*words.split())
        for each in ids:
            lines = [line for line in in_pipe.splitlines() if each in line]
            assert lines, f"{words} in a pipe lacks {each}"
        for columns in (40, 80):
            terminal = at_terminal(*words.split(), columns=columns)
            assert terminal.end() == 0, terminal.text
            lines = re.sub(r"\x1b\[[\d;]*m", "", terminal.text).splitlines()
            for each in ids:
                assert any(each in line for line in lines), f"{words} at {columns} lacks {each}"
            # Only what is itself longer than a line runs over its edge.
            long = [line for line in lines if len(line) > columns]
            assert [line for line in long if len(max(line.split(), key=len)) < 30] == []
