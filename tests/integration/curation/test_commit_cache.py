"""The second run reads only new commits and makes the same dataset as a full one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from academy.curation.curate import CurationResult, curate
from academy.curation.request import CurationRequest


@pytest.fixture
def run(tmp_path: Path, history: Any) -> Callable[..., CurationResult]:
    count = 0

    def curated(remember: bool, **options: Any) -> CurationResult:
        nonlocal count
        count += 1
        return curate(
            CurationRequest(repositories=(str(history.path),), **options),
            out=tmp_path / f"dataset{count}",
            allowed_roots=[tmp_path / "roots"],
            memory=tmp_path / "memory" if remember else None,
        )

    return curated


def test_only_new_commits_are_read_and_the_dataset_is_the_same(
    history: Any, run: Callable[..., CurationResult]
) -> None:
    first = run(True)
    assert first.notes == ("project: 12 commits were new, others were remembered.",)
    assert first.digest == run(False).digest
    history.git("checkout", "-q", "-b", "side", "HEAD~6")
    history.commit("Work on the side of things", {"side.txt": "an old branch\n"})
    history.git("checkout", "-q", "main")
    history.git("merge", "-q", "--no-ff", "-m", "Merge the side branch", "side")
    second = run(True)
    assert second.notes == ("project: 2 commits were new, others were remembered.",)
    assert second.digest == run(False).digest
    for limit in (3, 7):
        limited = run(True, git_commits_limit=limit)
        assert limited.notes[0].startswith("project: 0 commits")
        assert limited.digest == run(False, git_commits_limit=limit).digest


def test_a_rewritten_history_is_noticed_and_read_as_it_is_now(
    history: Any, run: Callable[..., CurationResult]
) -> None:
    run(True)
    history.git("reset", "-q", "--hard", "HEAD~2")
    history.commit("Take another way from here", {"other.txt": "another way\n"})
    again = run(True)
    assert "project: its history was rewritten since it was last read." in again.notes
    assert again.digest == run(False).digest
    assert run(True).notes == ("project: 0 commits were new, others were remembered.",)


def test_another_request_remembers_nothing_of_the_first(run: Callable[..., CurationResult]) -> None:
    run(True)
    other = run(True, commit_message="full")
    assert other.notes == ("project: 12 commits were new, others were remembered.",)


def test_a_line_that_a_crash_left_half_written_is_read_again(
    tmp_path: Path, run: Callable[..., CurationResult]
) -> None:
    digest = run(True).digest
    (memory,) = (tmp_path / "memory").glob("*.jsonl")
    assert memory.stat().st_mode & 0o077 == 0
    memory.write_bytes(memory.read_bytes()[:-30])
    again = run(True)
    assert again.notes == ("project: 1 commits were new, others were remembered.",)
    assert again.digest == digest
