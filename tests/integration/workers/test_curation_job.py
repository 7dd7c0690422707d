"""A curation job publishes one dataset, the same one again, and none if it is stopped."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from academy.artifacts.store import ArtifactStore
from academy.curation.request import CurationRequest
from academy.curation.submission import submit_curation
from academy.curation.supervisor import curate_job
from academy.errors import BaseModelUnavailable, RepositoryRefused
from academy.jobs.attempt import carry_out
from academy.lifecycle import Status
from academy.settings import Settings
from academy.store.data import datasets, lessons
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job


@pytest.fixture
def with_sources(settings: Settings, sessions: Sessions, tmp_path: Path) -> Settings:
    """Settings whose one allowed root is a repository of a few commits, and thirty lessons."""
    repository = tmp_path / "repository"
    git = ["git", "-C", str(repository), "-c", "user.name=A", "-c", "user.email=a@b.example"]
    subprocess.run(["git", "init", "-q", str(repository)], check=True, timeout=30)
    for number in range(6):
        (repository / f"file{number}.py").write_text(f"print({number})\n")
        subprocess.run([*git, "add", "-A"], check=True, timeout=30)
        message = f"Print the number {number} from a file of its own"
        subprocess.run([*git, "commit", "-q", "-m", message], check=True, timeout=30)
    rows = [
        {
            "id": f"lesson-{number}",
            "situation": f"The service number {number} does not answer on its port any more",
            "solution": f"Restart unit {number} and read what its journal said before that.",
            "tags": [],
        }
        for number in range(30)
    ]
    with sessions.begin() as session:
        lessons.add_lessons(session, rows)
    return settings.changed(repo_roots=(repository,))


@pytest.fixture
def curate(with_sources: Settings, sessions: Sessions) -> Callable[..., Job]:
    """Submits a curation, carries it out as a worker does, and gives the job as it ended."""

    def curate(request: CurationRequest, draining: threading.Event | None = None) -> Job:
        with sessions.begin() as session:
            job_id = submit_curation(session, with_sources, request, None).id
        with sessions.begin() as session:
            job = transitions.claim(session, "curation", "w", 30.0)
        assert job is not None and job.id == job_id
        carry_out(with_sources, sessions, job, draining or threading.Event(), curate_job)
        with sessions() as session:
            return jobs.get(session, job_id)

    return curate


def test_a_dataset_is_published_registered_and_the_same_the_second_time(
    curate: Callable[..., Job], with_sources: Settings, sessions: Sessions
) -> None:
    first, second = curate(CurationRequest()), curate(CurationRequest())
    assert first.status == second.status == Status.FINISHED
    assert first.result is not None and second.result is not None
    assert first.result["dataset_id"] == second.result["dataset_id"]
    with sessions() as session:
        dataset = datasets.get(session, first.result["dataset_id"])
    folder = ArtifactStore(with_sources).fetch(dataset.key, dataset.digest)
    assert len((folder / "train.jsonl").read_text().splitlines()) == dataset.train_rows
    assert dataset.statistics["lessons_collected"] == 30
    assert dataset.statistics["git_commits_collected"] == 6
    assert not (with_sources.home / "work" / first.id).exists()


def test_tokens_are_counted_by_the_named_base_model(
    curate: Callable[..., Job], with_sources: Settings, tiny_model: Path
) -> None:
    shutil.copytree(tiny_model, with_sources.home / "models" / "tiny")
    job = curate(CurationRequest(base_model="tiny"))
    assert job.result is not None
    tokens = job.result["statistics"]["lengths"]["tokens"]
    assert sum(tokens["rows"]) == job.result["statistics"]["total_examples"]
    assert tokens["total"] > tokens["longest"] > 0


def test_a_drain_leaves_no_dataset_and_the_job_in_the_queue(
    curate: Callable[..., Job], with_sources: Settings, sessions: Sessions
) -> None:
    draining = threading.Event()
    draining.set()
    job = curate(CurationRequest(), draining)
    assert job.status == Status.QUEUED
    with sessions() as session:
        assert datasets.newest(session) is None
    assert not (with_sources.home / "work" / job.id).exists()


def test_what_cannot_be_read_is_refused_before_a_job_exists(
    with_sources: Settings, sessions: Sessions
) -> None:
    for request, error in (
        (CurationRequest(repositories=("/etc",)), RepositoryRefused),
        (CurationRequest(base_model="nobody"), BaseModelUnavailable),
    ):
        with pytest.raises(error), sessions.begin() as session:
            submit_curation(session, with_sources, request, None)
    with sessions() as session:
        assert jobs.page(session, limit=5) == []
