"""The time that is left, on recorded trainings: the range holds the truth, and narrows."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

import pytest

from academy.trainer.progress import Pace

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))


def _foreseen(path: Path) -> list[tuple[float, float, float]]:
    """After each step but the first four: the ends of the range, and what was left in truth."""
    steps = json.loads(path.read_text())["steps"]
    pace, found = Pace(), []
    for number, (cost, seconds) in enumerate(steps, start=1):
        pace.add(cost, seconds)
        left = steps[number:]
        if number >= 5 and left:
            eta = pace.eta(sum(cost for cost, _ in left))
            assert eta.low is not None and eta.high is not None
            found.append((eta.low, eta.high, sum(seconds for _, seconds in left)))
    return found


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_range_holds_what_was_left_nine_times_out_of_ten(path: Path) -> None:
    foreseen = _foreseen(path)
    hits = sum(low <= truth <= high for low, high, truth in foreseen)
    assert hits / len(foreseen) >= 0.9


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_range_narrows_towards_the_end(path: Path) -> None:
    widths = [high - low for low, high, _ in _foreseen(path)]
    half, quarter = len(widths) // 2, len(widths) // 4
    assert fmean(widths[half:]) < fmean(widths[:half]) * 0.7
    assert fmean(widths[-quarter:]) < fmean(widths[:quarter]) * 0.3
    assert widths[-1] < max(widths) * 0.1


def test_there_are_recorded_trainings() -> None:
    assert len(RECORDED) >= 2
