"""Curation from end to end, on real repositories and a real disk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from academy.artifacts.manifest import verify_manifest
from academy.curation.curate import CurationResult, curate
from academy.curation.errors import CurationStopped, NothingCurated, SourceFailed
from academy.curation.progress import Progress
from academy.curation.request import CurationRequest
from academy.curation.sources import Lesson, RunRecord, TaskRecord
from academy.curation.split.previous_splits import read_previous_splits
from academy.errors import Conflict

Lessons = Callable[..., Iterable[Lesson]]
Sentence = Callable[..., str]
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def run(tmp_path: Path, name: str = "dataset", **options: Any) -> CurationResult:
    request = options.pop("request", None) or CurationRequest(repositories=())
    return curate(request, out=tmp_path / name, allowed_roots=[tmp_path / "roots"], **options)


def rows_of(folder: Path, name: str = "train.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def every_row(folder: Path) -> list[dict[str, Any]]:
    return rows_of(folder) + rows_of(folder, "heldout.jsonl")


def test_lessons_and_history_become_a_dataset_whose_counts_add_up(
    tmp_path: Path, history: Any, lessons: Lessons
) -> None:
    history.commit("wip", {"a.txt": "a"})
    history.commit("Update README.md", {"README.md": "hello"})
    request = CurationRequest(repositories=(str(history.path),))
    bad = replace(next(iter(lessons(1, 50))), solution="")
    result = run(tmp_path, request=request, lessons=[*lessons(20), bad])

    told = result.statistics
    assert told["input"] == {"read": 35, "kept": 32, "dropped": 3}
    assert sum(told["filters"].values()) == 3
    assert told["filters"] == {"short_answer": 1, "trivial_subject": 1, "work_in_progress": 1}
    assert told["lessons_collected"] == 21
    assert told["git_commits_collected"] == 12
    assert told["removed_low_quality"] == 1
    assert told["total_examples"] == 32 == told["train_rows"] + told["heldout_rows"]
    assert len(every_row(result.folder)) == 32
    assert json.loads((result.folder / "statistics.json").read_text()) == told
    assert verify_manifest(result.folder, result.digest) == result.digest
    assert {drop["filter"] for drop in rows_of(result.folder, "drops.jsonl")} == set(
        told["filters"]
    )


def test_a_second_run_writes_the_same_bytes(tmp_path: Path, history: Any, lessons: Lessons) -> None:
    request = CurationRequest(repositories=(str(history.path),))
    first = run(tmp_path, "first", request=request, lessons=lessons(30))
    second = run(tmp_path, "second", request=request, lessons=lessons(30))
    assert first.digest == second.digest
    for path in first.folder.iterdir():
        assert path.read_bytes() == (second.folder / path.name).read_bytes(), path.name


def test_the_git_limit_counts_commits_that_are_kept(tmp_path: Path, history: Any) -> None:
    for number in range(4):
        history.commit("wip", {"a.txt": str(number)})
    request = CurationRequest(repositories=(str(history.path),), git_commits_limit=5)
    told = run(tmp_path, request=request).statistics
    assert told["git_commits_collected"] == 5
    assert told["git_commits_skipped"] == 4
    assert told["input"] == {"read": 9, "kept": 5, "dropped": 4}


def test_the_newest_commits_are_held_out_and_stay_so(
    tmp_path: Path, history: Any, sentence: Sentence
) -> None:
    request = CurationRequest(repositories=(str(history.path),))
    first = run(tmp_path, "first", request=request)
    held = rows_of(first.folder, "heldout.jsonl")
    assert len(held) == 2
    newest_trained = max(row["provenance"]["committed_at"] for row in rows_of(first.folder))
    assert newest_trained < min(row["provenance"]["committed_at"] for row in held)

    for number in range(20, 30):
        history.commit(f"Add the part named {number}", {f"m{number}.py": sentence(number)})
    second = run(tmp_path, "second", request=request, previous=read_previous_splits([first.folder]))
    trained = {row["id"] for row in rows_of(second.folder)}
    assert trained.isdisjoint(row["id"] for row in held)
    assert len(rows_of(second.folder, "heldout.jsonl")) == 4


def test_a_lesson_keeps_its_side_when_others_come(tmp_path: Path, lessons: Lessons) -> None:
    first = run(tmp_path, "first", lessons=lessons(60))
    second = run(tmp_path, "second", lessons=[*lessons(60), *lessons(60, 100)])
    held = {row["id"] for row in rows_of(first.folder, "heldout.jsonl")}
    later = {row["id"] for row in rows_of(second.folder, "heldout.jsonl")}
    assert 5 <= len(held) <= 20
    assert held <= later
    assert {row["id"] for row in rows_of(first.folder)}.isdisjoint(later)


def test_five_rows_are_enough_for_one_to_be_held_out(tmp_path: Path, lessons: Lessons) -> None:
    for seed in range(8):
        request = CurationRequest(repositories=(), seed=seed)
        told = run(tmp_path, f"d{seed}", request=request, lessons=lessons(5)).statistics
        assert told["heldout_rows"] >= 1
        assert told["train_rows"] >= 1


@pytest.mark.parametrize("format", ["alpaca", "sharegpt", "openai", "prompt-completion"])
def test_each_format_holds_every_training_row(tmp_path: Path, history: Any, format: Any) -> None:
    request = CurationRequest(repositories=(str(history.path),), format=format)
    result = run(tmp_path, request=request)
    written = rows_of(result.folder, "dataset.jsonl")
    assert len(written) == result.statistics["train_rows"]
    keys = {
        "alpaca": {"instruction", "input", "output"},
        "sharegpt": {"conversations"},
        "openai": {"messages"},
        "prompt-completion": {"prompt", "completion"},
    }
    assert set(written[0]) == keys[format]
    if format == "alpaca":
        assert written[0]["instruction"] == "Write a commit message for this change:"
        assert "+def count():" in written[0]["input"]
        assert written[0]["output"].startswith("Teach module")


def test_conversations_and_runs_are_used_only_when_they_went_well(
    tmp_path: Path, sentence: Sentence
) -> None:
    def talk(number: int) -> list[dict[str, str]]:
        return [
            {"role": "user", "content": sentence(number)},
            {"role": "assistant", "content": sentence(number + 500)},
            {"role": "user", "content": "Thank you."},
        ]

    tasks = [
        TaskRecord("good", talk(1), "success", NOON),
        TaskRecord("bad", talk(2), "failed", NOON),
    ]
    runs = [
        RunRecord("passing", talk(3), 0.9, True, NOON),
        RunRecord("failing", talk(4), 0.9, False, NOON),
        RunRecord("untested", talk(5), 0.9, None, NOON),
        RunRecord("poor", talk(6), 0.2, True, NOON),
    ]
    request = CurationRequest(repositories=(), include_task_history=True, include_runs=True)
    result = run(tmp_path, request=request, tasks=tasks, runs=runs)
    assert {row["id"] for row in every_row(result.folder)} == {"task:good", "run:passing"}
    assert result.statistics["filters"] == {
        "failing_tests": 2,
        "low_reward": 1,
        "unsuccessful_task": 1,
    }
    assert every_row(result.folder)[0]["messages"][-1]["role"] == "assistant"


def test_what_the_arena_asks_is_not_trained_on(tmp_path: Path, lessons: Lessons) -> None:
    items = list(lessons(10))
    result = run(tmp_path, lessons=items, protected=[items[3].situation])
    assert result.statistics["filters"] == {"contaminated": 1}
    assert "lesson:l3" not in {row["id"] for row in every_row(result.folder)}


def test_what_an_earlier_dataset_held_out_is_not_trained_on_inside_another_row(
    tmp_path: Path, lessons: Lessons
) -> None:
    first = run(tmp_path, "first", lessons=lessons(40))
    held = rows_of(first.folder, "heldout.jsonl")[0]
    said = "\n".join(each["content"] for each in held["messages"])
    leaks = [
        replace(each, id=f"leak{at}", solution=f"{each.solution}\n{said}")
        for at, each in enumerate(lessons(12, 500))
    ]
    previous = read_previous_splits([first.folder])
    second = run(tmp_path, "second", lessons=[*lessons(20, 600), *leaks], previous=previous)
    trained = {row["id"] for row in rows_of(second.folder)}
    assert not any(id.startswith("lesson:leak") for id in trained)
    dropped = second.statistics["filters"]["heldout_overlap"]
    assert 5 <= dropped <= 12
    counted = second.statistics["input"]
    assert counted["read"] == 32 == counted["kept"] + counted["dropped"]
    request = CurationRequest(repositories=(), disabled_filters=("heldout_overlap",))
    options = {"lessons": leaks, "previous": previous}
    third = run(tmp_path, "third", request=request, **options)
    assert third.statistics["filters"] == {}


def test_a_dataset_is_the_same_when_its_own_held_out_rows_are_known_already(
    tmp_path: Path, history: Any, lessons: Lessons
) -> None:
    request = CurationRequest(repositories=(str(history.path),))
    first = run(tmp_path, "first", request=request, lessons=lessons(40))
    previous = read_previous_splits([first.folder])
    again = run(tmp_path, "again", request=request, lessons=lessons(40), previous=previous)
    assert again.digest == first.digest


def test_a_cancel_while_the_finished_files_are_hashed_leaves_nothing_behind(
    tmp_path: Path, lessons: Lessons
) -> None:
    stages: list[str] = []
    with pytest.raises(CurationStopped):
        run(
            tmp_path,
            lessons=lessons(40),
            progress=lambda told: stages.append(told.stage),
            should_stop=lambda: bool(stages) and stages[-1] == "publishing",
        )
    assert stages[-2:] == ["writing", "publishing"]
    assert list(tmp_path.iterdir()) == []


def test_a_cancel_leaves_nothing_behind(tmp_path: Path, history: Any, lessons: Lessons) -> None:
    read: list[Progress] = []

    def endless() -> Iterator[Lesson]:
        for number in range(10**9):
            yield next(iter(lessons(1, number)))

    request = CurationRequest(lessons_limit=1_000_000, repositories=(str(history.path),))
    with pytest.raises(CurationStopped, match=r"after [1-9]"):
        run(
            tmp_path,
            request=request,
            lessons=endless(),
            progress=read.append,
            should_stop=lambda: len(read) > 2,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["roots"]
    assert {told.stage for told in read} == {"reading lessons"}
    assert read[-1].total == 1_000_000
    assert read[-1].eta_seconds is not None


def test_progress_is_told_every_500_rows_with_an_estimate_of_what_is_left(
    tmp_path: Path, lessons: Lessons
) -> None:
    told: list[Progress] = []
    request = CurationRequest(repositories=(), lessons_limit=1_200)
    run(tmp_path, request=request, lessons=lessons(1_300), progress=told.append)
    stages = list(dict.fromkeys(each.stage for each in told))
    assert stages == [
        *("reading lessons", "reading uploads", "deduplicating"),
        *("sketching held-out rows", "writing", "publishing"),
    ]
    for stage in ("reading lessons", "writing"):
        steps = [each for each in told if each.stage == stage]
        assert steps[0].done == 0 and steps[0].total == 1_200
        done = [each.done for each in steps]
        assert all(after - before <= 500 for before, after in pairwise([*done, 1_200]))
        assert all(each.eta_seconds is not None for each in steps if each.done)


def test_a_source_that_breaks_fails_the_run_with_what_was_read(
    tmp_path: Path, lessons: Lessons
) -> None:
    def broken() -> Iterable[Lesson]:
        yield from lessons(7)
        raise ConnectionResetError("the database went away")

    with pytest.raises(SourceFailed, match=r"'lessons' failed after 7 rows .* went away"):
        run(tmp_path, lessons=broken())
    assert list(tmp_path.iterdir()) == []


def test_nothing_left_is_said_with_its_reason(tmp_path: Path, lessons: Lessons) -> None:
    with pytest.raises(NothingCurated, match=r"1 that were read: dropped by short_answer \(1\)"):
        run(tmp_path, lessons=[replace(next(iter(lessons(1))), solution="")])


def test_a_dataset_is_never_overwritten(tmp_path: Path, lessons: Lessons) -> None:
    run(tmp_path, lessons=lessons(3))
    with pytest.raises(Conflict, match="never changes"):
        run(tmp_path, lessons=lessons(4))


def test_a_disk_that_fills_leaves_nothing_behind(tmp_path: Path, lessons: Lessons) -> None:
    program = f"""
import resource, signal
from datetime import UTC, datetime
from pathlib import Path
from academy.curation.curate import curate
from academy.curation.request import CurationRequest
from academy.curation.sources import Lesson

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
now = datetime.now(UTC)
lessons = [Lesson(str(i), f"q{{i}} " * 50, f"a{{i}} " * 50, [], "", None, now) for i in range(200)]
try:
    curate(CurationRequest(repositories=()), lessons=lessons,
           out=Path({str(tmp_path / "dataset")!r}), allowed_roots=[])
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("DatasetNotWritten"), done.stdout + done.stderr
    assert "File too large" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_filter_that_is_switched_off_drops_nothing(
    tmp_path: Path, history: Any, sentence: Sentence
) -> None:
    history.commit("WIP: teach the parser", {"a.txt": sentence(77)})
    paths = (str(history.path),)
    with_filter = run(tmp_path, "with", request=CurationRequest(repositories=paths))
    request = CurationRequest(repositories=paths, disabled_filters=("work_in_progress",))
    without = run(tmp_path, "without", request=request)
    assert without.statistics["total_examples"] == with_filter.statistics["total_examples"] + 1
