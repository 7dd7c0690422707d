"""Scored runs as rows and as preference pairs; the counts add up whatever comes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from academy.curation.curate import CurationResult, curate
from academy.curation.errors import NothingCurated
from academy.curation.request import CurationRequest
from academy.curation.sources import RunRecord

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
Sentence = Callable[..., str]


def run_of(
    id: str, prompt: str, answer: str, reward: float | None, passed: bool | None, **more: Any
) -> RunRecord:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return RunRecord(id, messages, reward, passed, NOON + timedelta(seconds=len(id)), **more)


def pairs(folder: Path, runs: list[RunRecord], **options: Any) -> CurationResult:
    request = CurationRequest(format="preference", **options)
    return curate(request, runs=runs, out=folder / "dataset", allowed_roots=[])


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for name in ("train.jsonl", "heldout.jsonl")
        for line in (folder / name).read_text().splitlines()
    ]


def test_an_accepted_and_a_rejected_run_on_one_prompt_are_a_pair(
    tmp_path: Path, sentence: Sentence
) -> None:
    asked, other = sentence(1), sentence(2)
    runs = [
        run_of("best", asked, sentence(10), 0.95, True, task_id="t"),
        run_of("good", asked, sentence(11), 0.8, True, task_id="t"),
        run_of("worst", f"  {asked}\n", sentence(12), 0.1, None, task_id="t"),
        run_of("failing", asked, sentence(13), 0.99, False, task_id="t"),
        run_of("middling", asked, sentence(14), 0.6, True, task_id="t"),
        run_of("untested", asked, sentence(15), 0.99, None),
        run_of("alone", other, sentence(16), 0.9, True),
    ]
    result = pairs(tmp_path, runs)
    found = {row["id"]: row for row in rows_of(result.folder)}
    assert set(found) == {"pair:best+worst", "pair:good+middling"}
    row = found["pair:best+worst"]
    assert row["messages"] == [{"role": "user", "content": asked}]
    assert (row["chosen"], row["rejected"]) == (sentence(10), sentence(12))
    assert (row["source"], row["group"]) == ("run", "task:t")
    assert row["provenance"]["rejected"]["reward"] == 0.1
    told = result.statistics
    assert told["filters"] == {"undecided_run": 1, "unpaired": 2}
    assert told["input"] == {"read": 7, "kept": 4, "dropped": 3}
    assert told["total_examples"] == 2
    written = [
        json.loads(line) for line in (result.folder / "dataset.jsonl").read_text().splitlines()
    ]
    assert all(set(each) == {"prompt", "chosen", "rejected"} for each in written)


def test_pairs_do_not_depend_on_the_order_of_the_runs(tmp_path: Path, sentence: Sentence) -> None:
    runs = [
        run_of(f"r{n}", sentence(n % 5), sentence(n + 50), 0.1 + 0.8 * (n % 2), n % 2 == 1)
        for n in range(40)
    ]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = pairs(tmp_path / "a", runs)
    assert pairs(tmp_path / "b", runs[::-1]).digest == first.digest
    assert first.statistics["total_examples"] == 20


def test_secrets_and_names_are_taken_out_of_both_answers(
    tmp_path: Path, sentence: Sentence
) -> None:
    key = "AKIA" + "Z7QHV3M4W2XKJ5RT"
    runs = [
        run_of("a", sentence(1), f"{sentence(2)} ada@writer.example", 0.9, True),
        run_of("b", sentence(1), f"{sentence(3)} {key}", 0.1, False),
    ]
    (row,) = rows_of(pairs(tmp_path, runs).folder)
    assert row["chosen"].endswith("<EMAIL>")
    assert key not in row["rejected"] and "<SECRET:" in row["rejected"]
    assert "people" in row["provenance"]["touched"]


def test_a_pair_of_equal_answers_teaches_nothing(tmp_path: Path, sentence: Sentence) -> None:
    runs = [
        run_of("a", sentence(1), sentence(2), 0.9, True),
        run_of("b", sentence(1), sentence(2) + " ", 0.1, False),
    ]
    with pytest.raises(NothingCurated, match=r"untrainable \(2\)"):
        pairs(tmp_path, runs)


@pytest.mark.parametrize("more", [{"repositories": ("a",)}, {"include_task_history": True}])
def test_pairs_of_anything_but_runs_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="needs rejected answers"):
        CurationRequest(format="preference", **more)


RUNS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(["", "ok", "Yes.", "Do it so.", "I cannot help with it.", "q1 words"]),
        st.none() | st.floats(0, 1),
        st.none() | st.booleans(),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=40)
@given(RUNS, st.booleans(), st.sets(st.sampled_from(["failing_tests", "undecided_run", "refusal"])))
def test_what_was_read_was_kept_or_dropped(
    shapes: list[tuple[int, str, float | None, bool | None]], as_pairs: bool, off: set[str]
) -> None:
    runs = [
        run_of(f"r{at}", f"q{prompt} words", answer, reward, passed)
        for at, (prompt, answer, reward, passed) in enumerate(shapes)
    ]
    format: Any = "preference" if as_pairs else "openai"
    request = CurationRequest(
        format=format, include_runs=True, repositories=(), disabled_filters=tuple(off)
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = curate(request, runs=runs, out=Path(folder) / "d", allowed_roots=[])
        except NothingCurated:
            return
        told, rows = result.statistics, len(rows_of(result.folder))
    counted = told["input"]
    assert counted["read"] == len(runs) == counted["kept"] + counted["dropped"]
    assert counted["dropped"] == sum(told["filters"].values())
    assert counted["kept"] == rows * (2 if as_pairs else 1)
