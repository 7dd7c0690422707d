"""Real repositories for the tests of curation, made by real git."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from academy.curation.request import CurationRequest
from academy.curation.sources import Lesson
from academy.curation.submission import submit_curation
from academy.jobs.attempt import Attempt, carry_out
from academy.settings import Settings
from academy.store.engine import Session, Sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job

GIT_ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada Writer",
    "GIT_AUTHOR_EMAIL": "ada@writer.example",
    "GIT_COMMITTER_NAME": "Ada Writer",
    "GIT_COMMITTER_EMAIL": "ada@writer.example",
    "LC_ALL": "C.UTF-8",
}


class Repo:
    """A repository under test; every commit is a minute younger than the one before."""

    def __init__(self, path: Path, *init: str) -> None:
        self.path = path
        self.minute = 0
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main", *init)

    def git(self, *arguments: str, check: bool = True, **environ: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env={**GIT_ENV, "HOME": str(self.path), **environ},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr.decode("utf-8", "replace")
        return done.stdout.decode("utf-8", "replace").strip()

    def write(self, name: str, content: str | bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, message: str, files: dict[str, str | bytes] | None = None, **env: str) -> str:
        for name, content in (files or {}).items():
            self.write(name, content)
        self.minute += 1
        when = f"{1_700_000_000 + 60 * self.minute} +0000"
        self.git("add", "-A")
        self.git(
            *("commit", "-q", "--allow-empty", "-m", message),
            **{"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when, **env},
        )
        return self.git("rev-parse", "HEAD")


MakeRepo = Callable[..., Repo]


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    folder = tmp_path / "roots"
    folder.mkdir()
    return folder


@pytest.fixture
def make_repo(roots: Path) -> MakeRepo:
    def make(name: str = "project", *init: str) -> Repo:
        return Repo(roots / name, *init)

    return make


WORDS = ("alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "kilo")
WORDS += ("lima", "mike")


def _sentence(number: int, words: int = 12) -> str:
    """Words that depend on `number`, unlike those of any other number."""
    return " ".join(f"{WORDS[(number * 7 + i * i) % 12]}{number}x{i}" for i in range(words))


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    repo = Repo(tmp_path_factory.mktemp("template") / "project")
    for number in range(12):
        repo.commit(
            f"Teach module {number} to count {WORDS[number]}",
            {f"module_{number}.py": f"def count():\n    return '{_sentence(number)}'\n"},
        )
    return repo


@pytest.fixture
def history(_template: Repo, roots: Path) -> Repo:
    """A repository of twelve commits that pass every filter."""
    copy = object.__new__(Repo)
    copy.path, copy.minute = roots / "project", _template.minute
    shutil.copytree(_template.path, copy.path, symlinks=True)
    return copy


def _lessons(count: int, start: int = 0) -> Iterable[Lesson]:
    """Lessons that pass every filter and resemble each other in nothing."""
    for number in range(start, start + count):
        yield Lesson(
            id=f"l{number}",
            situation=f"What to do about {_sentence(number)}?",
            solution=f"Apply {_sentence(number + 10_000)}.",
            tags=["unit"],
            source="agent",
            quality=None,
            created_at=datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        )


@pytest.fixture
def sentence() -> Callable[..., str]:
    return _sentence


@pytest.fixture
def lessons() -> Callable[..., Iterable[Lesson]]:
    return _lessons


Work = Callable[[Attempt], Callable[[Session], None]]


@pytest.fixture
def carry(settings: Settings, sessions: Sessions) -> Callable[..., Job]:
    """Submits a curation and has `work` carried out as a worker would; the job as it ended."""

    def carry(work: Work, request: CurationRequest, **changed: Any) -> Job:
        own = settings.changed(**changed)
        with sessions.begin() as session:
            job_id = submit_curation(session, own, request, None).id
        with sessions.begin() as session:
            job = transitions.claim(session, "curation", "w", 30.0)
        assert job is not None and job.id == job_id
        carry_out(own, sessions, job, threading.Event(), work)
        with sessions() as session:
            return jobs.get(session, job_id)

    return carry
