"""Sides in arrays say what a mapping of them would say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from academy.curation.split import decisions
from academy.curation.split.decisions import Decisions
from academy.curation.split.previous_splits import SidesInMemory

KEYS = st.integers(0, 20) | st.integers(2**64 - 5, 2**64 - 1)
PAIRS = st.lists(st.tuples(KEYS, st.booleans()), max_size=40)


def made(pairs: Sequence[tuple[int, bool]]) -> Decisions:
    return Decisions([key for key, _ in pairs], [side for _, side in pairs])


def as_mapping(those: Decisions) -> dict[int, bool]:
    return {key: side for part in those.parts() for key, side in part.items()}


@given(PAIRS, PAIRS, st.lists(KEYS))
def test_arrays_say_what_a_mapping_would_say(
    first: list[tuple[int, bool]], second: list[tuple[int, bool]], asked: list[int]
) -> None:
    one, two = made(first), made(second)
    expected: Mapping[int, bool] = dict(first)
    assert as_mapping(one) == expected and len(one) == len(expected)
    assert as_mapping(one.overruled_by(two)) == {**expected, **dict(second)}
    assert as_mapping(one.without(two)) == {
        key: side for key, side in first if key not in dict(second) and expected[key] == side
    }
    assert (one == two) == (expected == dict(second))
    keys = np.array(asked, dtype=np.uint64)
    assert one.among(keys) == {key: expected[key] for key in asked if key in expected}
    known, held = one.sides_of(keys)
    assert known.tolist() == [key in expected for key in asked]
    assert held.tolist() == [expected.get(key, False) for key in asked]


def test_sides_are_asked_for_some_at_a_time_and_a_stop_comes_in_between() -> None:
    many = 2 * decisions._AT_ONCE + 1
    sides = SidesInMemory({key: key % 3 == 0 for key in range(0, many, 2)})
    ticks: list[None] = []
    found = Decisions.remembered(
        sides, np.arange(many, dtype=np.uint64), lambda: ticks.append(None)
    )
    assert len(ticks) == 3
    assert as_mapping(found) == {key: key % 3 == 0 for key in range(0, many, 2)}
