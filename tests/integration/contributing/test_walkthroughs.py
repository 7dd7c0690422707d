"""A new developer's first hour, taken step by step as CONTRIBUTING.md has it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from academy.access.keys import Role, make_key
from academy.settings import Settings
from academy.store.engine import Sessions
from tests.integration.contributing.steps import Tree, copied

#: A worker, so to say: claims one job, carries it out, and tells how it ended.
_CARRY_OUT = """
import threading

from academy.jobs import kinds
from academy.jobs.attempt import carry_out
from academy.settings import Settings
from academy.store.engine import make_sessions
from academy.store.jobs import transitions

settings = Settings.from_env()
sessions = make_sessions(settings)
with sessions.begin() as session:
    job = transitions.claim(session, "curation", "worker-1", 60.0)
print(carry_out(settings, sessions, job, threading.Event(), kinds.of(job.kind).work))
"""
#: A client of the application: each request is METHOD PATH [BODY], each answer a line of JSON.
_ASK = """
import json, os, sys

from academy.api.app import create_app
from academy.settings import Settings

app = create_app(Settings.from_env())
for each in sys.argv[1:]:
    method, path, *body = each.split(" ", 2)
    headers = {"Authorization": "Bearer " + os.environ["KEY"]}
    sent = {"json": json.loads(body[0])} if body else {}
    answer = app.test_client().open(path, method=method, headers=headers, **sent)
    print(json.dumps([answer.status_code, answer.json if answer.is_json else answer.text]))
app.extensions["academy"].close()
"""
_CURATE = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path

from academy.curation.curate import curate
from academy.curation.request import CurationRequest
from academy.curation.sources import Lesson

noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
answers = ["USE GIT REVERT.", *(f"Use git revert {word}." for word in ("now", "soon", "later"))]
lessons = [
    Lesson(str(n), f"How do I undo commit {n}?", answer, [], "agent", None, noon)
    for n, answer in enumerate(answers)
]
for off in ([], ["shouting"]):
    request = CurationRequest(git_commits_limit=0, disabled_filters=["near_duplicate", *off])
    out = Path(sys.argv[1]) / f"out{len(off)}"
    made = curate(request, lessons=lessons, out=out, allowed_roots=[])
    print(json.dumps(made.statistics["filters"]))
"""


@pytest.fixture
def tree(repository: Path, tmp_path: Path) -> Tree:
    return copied(repository, tmp_path / "tree")


@pytest.fixture
def server(settings: Settings, sessions: Sessions) -> dict[str, str]:
    """The environment of a process of Academy, and an operator's key for it as KEY."""
    with sessions.begin() as session:
        _, key = make_key(session, "a developer", Role.OPERATOR)
    return {**settings.environ(), "KEY": key}


def _ask(tree: Tree, server: dict[str, str], *requests: str) -> list[list[object]]:
    printed = tree.run(".venv/bin/python", "-c", _ASK, *requests, env=server)
    return [json.loads(line) for line in printed.splitlines()]


def test_a_filter_drops_and_is_counted_by_its_name(tree: Tree, tmp_path: Path) -> None:
    (tests,) = tree.follow("A filter")
    assert re.search(r"\d+ passed", tests)
    printed = tree.run(".venv/bin/python", "-c", _CURATE, str(tmp_path))
    with_it, without_it = map(json.loads, printed.splitlines())
    assert with_it.get("shouting") == 1
    assert "shouting" not in without_it


def test_an_endpoint_answers_and_stands_in_the_document(tree: Tree, server: dict[str, str]) -> None:
    tree.follow("An endpoint")
    path = "/api/v1/academy/filters"
    answer, document = _ask(tree, server, f"GET {path}", "GET /openapi.json")
    assert answer[0] == 200
    assert "low_quality" in answer[1]["filters"]
    assert answer[1]["count"] == len(answer[1]["filters"])
    described = document[1]["paths"][path]["get"]
    assert described["tags"] == ["Datasets"]
    assert "FilterList" in document[1]["components"]["schemas"]


def test_a_translation_is_complete_and_served(tree: Tree, server: dict[str, str]) -> None:
    *_, tests = tree.follow("A translation")
    assert re.search(r"\d+ passed", tests)
    chosen, texts, failures = _ask(
        tree,
        server,
        "GET /academy?language=it",
        "GET /academy/static/texts/it.json",
        "GET /academy/static/texts/failures/it.json",
    )
    assert chosen[0] == 303
    assert texts[0] == failures[0] == 200
    assert texts[1]["dataset"] == "Insieme di dati"
    page = tree.run(
        ".venv/bin/python",
        "-c",
        "from academy.dashboard.languages import LANGUAGES, texts\n"
        "print(LANGUAGES['it'], set(texts('it')) == set(texts('en')))",
    )
    assert page.split() == ["Italiano", "True"]


def test_a_kind_of_job_is_queued_carried_out_and_shown(tree: Tree, server: dict[str, str]) -> None:
    tree.follow("A kind of job")
    tree.run(".venv/bin/python", "-m", "academy.cli", "migrate", env=server)
    jobs = "/api/v1/academy/jobs"
    kinds, queued = _ask(
        tree,
        server,
        f"GET {jobs}/kinds",
        f'POST {jobs} {{"kind": "tally", "request": {{"unit": "stories"}}}}',
    )
    assert "tally" in [each["kind"] for each in kinds[1]["kinds"]]
    assert queued[0] == 202
    assert tree.run(".venv/bin/python", "-c", _CARRY_OUT, env=server).strip() == "finished"
    (shown,) = _ask(tree, server, f"GET {jobs}/{queued[1]['job_id']}/status")
    assert (shown[1]["status"], shown[1]["kind"]) == ("finished", "tally")
    assert shown[1]["result"] == {"summary": {"lessons": 0}}
    assert "0 stories" in shown[1]["logs"]


def test_every_make_target_that_the_set_up_names_is_there(repository: Path) -> None:
    text = (repository / "CONTRIBUTING.md").read_text()
    targets = re.findall(r"^([\w-]+):", (repository / "Makefile").read_text(), re.M)
    named = set(re.findall(r"\bmake ([a-z-]+)", text))
    assert named >= {"setup", "test", "lint"}
    assert named - set(targets) == set()
