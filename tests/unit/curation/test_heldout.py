"""What was held out is recognised in other rows, and nothing else is."""

from __future__ import annotations

import contextlib
import itertools
import random
from pathlib import Path

import pytest

from academy.curation.split.heldout import HeldOut


def text(seed: int, words: int = 80) -> str:
    made = random.Random(seed)
    return " ".join(f"w{made.randrange(10_000)}" for _ in range(words))


def test_a_row_is_found_inside_a_longer_one_whatever_its_case_and_signs() -> None:
    held = HeldOut()
    for seed in range(50):
        held.add(f"row {seed}", text(seed))
    inside = f"{text(900)}\n{text(7).upper().replace(' ', ', ')}\n{text(901)}"
    assert held.match(inside) == "100% of the sampled runs of words of a held-out row"
    assert held.match(text(902, 2_000)) is None


def test_half_of_a_row_is_not_enough_and_nine_tenths_are() -> None:
    held = HeldOut()
    for seed in range(50):
        held.add(f"row {seed}", text(seed, 400))
    words = text(7, 400).split()
    halves = [held.match(" ".join(text(seed, 400).split()[:200])) for seed in range(50)]
    assert sum(each is not None for each in halves) <= 5  # the share is an estimate from 16 runs
    assert held.match(" ".join(words[:360])) is not None


def test_a_short_row_is_compared_as_a_whole() -> None:
    held = HeldOut()
    held.add("short", "Use git revert.")
    assert held.match("use GIT revert!") is not None
    assert held.match("Do not use git revert here.") is None
    held.add("empty", "")
    assert held.match("") is None


def test_sketches_are_the_same_after_saving_and_each_row_is_there_once(tmp_path: Path) -> None:
    held, loaded = HeldOut(), HeldOut()
    for seed in range(20):
        held.add(f"row {seed}", text(seed))
    held.save(tmp_path / "s.npz")
    loaded.load(tmp_path / "s.npz")
    loaded.load(tmp_path / "s.npz")
    loaded.add("row 3", "something else")
    assert len(loaded) == 20
    assert loaded.match(text(3)) == held.match(text(3)) is not None


def test_a_damaged_file_of_sketches_is_refused(tmp_path: Path) -> None:
    held = HeldOut()
    held.add("a", text(1))
    held.save(tmp_path / "s.npz")
    whole = (tmp_path / "s.npz").read_bytes()
    for damaged in (whole[:40], b"", b"nothing of the kind"):
        (tmp_path / "d.npz").write_bytes(damaged)
        with pytest.raises(ValueError):
            HeldOut().load(tmp_path / "d.npz")
    for at, bit in itertools.product(range(len(whole)), (1, 8, 64)):
        (tmp_path / "d.npz").write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
        loaded = HeldOut()
        with contextlib.suppress(ValueError):  # some bytes say nothing, such as a date
            loaded.load(tmp_path / "d.npz")
            assert loaded.match(text(1)) is not None


def test_a_match_is_what_counting_each_sampled_run_gives() -> None:
    """Long and short rows that share runs with each other and with what is asked."""
    made = random.Random(3)
    parts = [text(seed, 20) for seed in range(12)]

    def mixed(most: int) -> str:
        return " ".join(made.choices(parts, k=made.randrange(1, most)))

    held = [*(mixed(6) for _ in range(30)), "too short", *parts[:4]]
    sketches = HeldOut()
    for number, row in enumerate(held):
        sketches.add(str(number), row)
    found = 0
    for asked in [*held, *(mixed(10) for _ in range(200)), "too short", "neither"]:
        shares = [_share(row, asked) for row in held]
        matched = sketches.match(asked)
        assert (matched is not None) == (max(shares) >= 0.7)
        if matched is not None:
            assert matched.startswith(f"{max(shares):.0%} ")
            found += 1
    assert 30 < found < 230


def _share(row: str, asked: str) -> float:
    """The slow way: how much of the sample of `row` occurs in `asked`."""
    alone = HeldOut()
    alone.add("row", row)
    sample = set(alone._hashes)
    return len(sample & set(alone._runs(asked).tolist())) / len(sample)
