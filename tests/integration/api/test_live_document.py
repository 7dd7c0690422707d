"""The watchers of docs/live.md, run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from academy.events.sender import EventSender
from academy.settings import Settings
from academy.store.engine import Sessions
from tests.integration.dashboard import chromium

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "live.md"
#: What the fixture `served` gives (conftest.py).
Served = Any


def block(language: str, number: int = 0) -> str:
    """A code block of the document."""
    return re.findall(rf"(?s)```{language}\n(.*?)```", DOCUMENT.read_text())[number]


@pytest.fixture
def said(settings: Settings, sessions: Sessions, job_id: str) -> Iterator[list[str]]:
    """Writes a job's events while somebody watches; what its lines are."""
    lines = [f"line {number}" for number in range(200)]
    more = threading.Event()

    def write() -> None:
        with EventSender(settings, sessions) as sender, sender.open(job_id, 1) as events:
            for line in lines[:100]:
                events.emit("log", message=line)
            more.wait(2.0)
            for line in lines[100:]:
                events.emit("log", message=line)
            events.emit("status", status="finished")

    writer = threading.Thread(target=write)
    writer.start()
    yield lines
    more.set()
    writer.join(timeout=30)


@pytest.mark.parametrize(
    ("language", "command", "suffix"),
    [
        ("bash", ["bash"], ".sh"),
        ("python", [sys.executable], ".py"),
        ("javascript", ["node"], ".mjs"),
    ],
)
def test_a_program_of_the_document_shows_every_line_once(
    served: Served,
    job_id: str,
    said: list[str],
    tmp_path: Path,
    language: str,
    command: list[str],
    suffix: str,
) -> None:
    program = tmp_path / f"watch{suffix}"
    program.write_text(block(language))
    done = subprocess.run(
        [*command, str(program)],
        env={**os.environ, "API": served.url(""), "KEY": served.key, "JOB": job_id},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    shown = re.findall(r"line \d+", done.stdout)
    if language == "bash":  # a line's number stands in it, too
        shown = re.findall(r'"message":"(line \d+)"', done.stdout)
    assert shown == said
    assert "finished" in done.stdout


def test_the_page_of_the_document_shows_every_line_once(
    served: Served, job_id: str, said: list[str], tmp_path: Path
) -> None:
    ticket = httpx.post(served.url("/tickets"), headers=served.headers, timeout=20).json()["ticket"]
    with chromium.browser(tmp_path) as page:
        page.open(f"http://{served.host}/openapi.json")
        page.wait_for("document.readyState === 'complete'")
        begin = f"watch({job_id!r}, async () => {ticket!r}, (line) => shown.push(line))"
        page.value(f"{block('javascript', 1)}; globalThis.shown = []; void {begin}")
        page.wait_for("shown.includes('finished')")
        shown = page.value("shown")
    assert [each for each in shown if each.startswith("line ")] == said
