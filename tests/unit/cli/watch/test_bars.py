"""Progress bars are one line each, and figures are as many as a person reads."""

from __future__ import annotations

from typing import Any

import pytest

from academy.cli.watch.bars import Folding, folded
from academy.cli.watch.sentences import sentence
from academy.wire.sse_reading import Event


def event(kind: str, **data: Any) -> Event:
    return Event("1-1", kind, data)


def shown(*messages: str | Event) -> list[str]:
    events = [each if isinstance(each, Event) else event("log", message=each) for each in messages]
    return [sentence(each) for each in folded(events)]


def bar(percent: int, name: str = "Loading") -> str:
    return f"{name}: {percent:3d}%|{'█' * (percent // 10):10}| {percent}/100 [00:01<00:00, 9it/s]"


def test_a_bar_is_its_last_state() -> None:
    lines = shown("before", *map(bar, range(0, 101, 5)), "after")
    assert lines == ["before", bar(100), "after"]


def test_a_bar_that_breaks_off_is_shown_as_it_was_left() -> None:
    lines = shown(bar(0), bar(35), event("status", status="failed"))
    assert lines == [bar(35), "== failed"]


def test_two_bars_in_turn_are_two_lines_and_figures_between_them_none_more() -> None:
    metrics = event("metrics", step=1, total_steps=2, loss=1.0)
    lines = shown(bar(10, "a"), bar(10, "b"), metrics, bar(60, "a"), bar(70, "b"))
    assert lines == ["step 1/2 · loss 1.000", bar(60, "a"), bar(70, "b")]


def test_a_bar_that_begins_anew_is_another_line() -> None:
    assert shown(bar(50), bar(80), bar(0), bar(20)) == [bar(80), bar(20)]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("12it [00:01, 12.0it/s]", "340it [00:09, 12.0it/s]"),
        ("━━━━━╺━━━━━ 1.2/5.0 MB eta 0:00:09", "━━━━━━━━━━━ 5.0/5.0 MB eta 0:00:00"),
        ("model: 45%|████▌  | 123M/270M [00:01<00:02]", "model: 99%|██████▊| 269M/270M [00:03<…]"),
    ],
)
def test_bars_of_other_makes_are_known(first: str, last: str) -> None:
    assert shown(first, last, "after") in ([last, "after"], ["after", last])


def test_lines_that_only_count_are_all_shown() -> None:
    lines = ["epoch 1/3 loss 0.5", "epoch 2/3 loss 0.4", "50% of the rows were kept", "60% of them"]
    assert shown(*lines) == lines


def test_a_curations_stage_is_a_line_with_its_last_figures() -> None:
    reading = [event("progress", stage="reading", done=n, total=9) for n in (0, 4, 8)]
    writing = [event("progress", stage="writing", done=n, total=9) for n in (0, 9)]
    assert shown(*reading, *writing) == ["reading · 8/9", "writing · 9/9"]


def test_of_many_steps_about_two_hundred_are_shown_with_the_first_and_the_last() -> None:
    steps = [event("metrics", step=n, total_steps=10_001) for n in range(1, 10_002)]
    lines = shown(*steps, event("stage", stage="saving"))
    assert lines[0] == "step 1/10001" and lines[-2:] == ["step 10001/10001", "── saving"]
    assert 190 < len(lines) < 210
    assert len(shown(*steps[:150])) < 10
    few = [event("metrics", step=n, total_steps=150) for n in range(1, 151)]
    assert len(shown(*few)) == 150


def test_without_a_number_of_steps_fewer_and_fewer_are_shown() -> None:
    lines = shown(*[event("metrics", step=n) for n in range(1, 5001)])
    assert lines[:99] == [f"step {n}/?" for n in range(1, 100)]
    assert lines[-1] == "step 5000/?" and len(lines) == 99 + 90 + 41


def test_what_is_open_is_told_while_it_is_live() -> None:
    folding = Folding()
    assert list(folding.add(event("log", message=bar(20)))) == []
    assert folding.states == [bar(20)]
    assert [sentence(each) for each in folding.rest()] == [bar(20)] and folding.states == []
