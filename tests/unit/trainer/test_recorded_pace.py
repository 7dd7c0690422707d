"""The time that is left, on recorded trainings: the range holds the truth, and narrows."""

from __future__ import annotations

import json
from functools import cache
from itertools import product
from pathlib import Path
from statistics import fmean, median

import pytest

from academy.trainer.progress import Memory, Pace

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
SHIPPED = Memory()
#: What a training's constants might have been chosen from.
CANDIDATES = tuple(
    Memory(window, blocks, least)
    for window, blocks, least in product((50, 100), ((5,), (5, 10), (5, 10, 20)), (0.0, 0.1))
)


@cache
def _foreseen(path: Path, memory: Memory = SHIPPED) -> list[tuple[float, float, float]]:
    """After each step but the first four: the ends of the range, and what was left in truth."""
    steps = json.loads(path.read_text())["steps"]
    pace, found = Pace(memory), []
    left_cost, left_seconds = (sum(each) for each in zip(*steps, strict=True))
    for number, (cost, seconds) in enumerate(steps, start=1):
        pace.add(cost, seconds)
        left_cost, left_seconds = left_cost - cost, left_seconds - seconds
        if number >= 5 and number < len(steps):
            eta = pace.eta(left_cost)
            assert eta.low is not None and eta.high is not None
            found.append((eta.low, eta.high, left_seconds))
    return found


def _held(path: Path, memory: Memory = SHIPPED) -> float:
    """The share of the ranges that held the truth."""
    return fmean(low <= truth <= high for low, high, truth in _foreseen(path, memory))


def _width(path: Path, memory: Memory) -> float:
    """How wide the ranges were, as a share of what was left: the middle one."""
    return median((high - low) / truth for low, high, truth in _foreseen(path, memory))


def _chosen_on(paths: list[Path]) -> Memory:
    """The narrowest constants whose ranges hold the truth nineteen times out of twenty there."""
    good = [each for each in CANDIDATES if fmean(_held(path, each) for path in paths) >= 0.95]
    return min(good, key=lambda each: fmean(_width(path, each) for path in paths))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_range_holds_what_was_left_nine_times_out_of_ten(path: Path) -> None:
    assert _held(path) >= 0.9


@pytest.mark.parametrize(("path", "share"), list(zip(RECORDED, (0.59, 0.97, 0.84), strict=True)))
def test_constants_chosen_on_other_trainings_hold_less_often_as_the_documents_say(
    path: Path, share: float
) -> None:
    others = [each for each in RECORDED if each != path]
    found = _held(path, _chosen_on(others))
    assert found == pytest.approx(share, abs=0.005), (path.stem, _chosen_on(others))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_range_narrows_towards_the_end(path: Path) -> None:
    widths = [high - low for low, high, _ in _foreseen(path)]
    half, quarter = len(widths) // 2, len(widths) // 4
    assert fmean(widths[half:]) < fmean(widths[:half]) * 0.7
    assert fmean(widths[-quarter:]) < fmean(widths[:quarter]) * 0.3
    assert widths[-1] < max(widths) * 0.1


def test_there_are_recorded_trainings() -> None:
    assert len(RECORDED) >= 3
