"""The split keeps what belongs together, and its word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from academy.curation.split.previous_splits import SidesInMemory
from academy.curation.split.sides import Candidate, held_out, split
from academy.curation.split.ties import Turns
from academy.curation.spool import SOURCES, hash64

GIT, LESSON = SOURCES.index("git"), SOURCES.index("lesson")


def commit(index: int, cluster: int | None = None, repository: int = 1) -> Candidate:
    return Candidate(index, GIT, repository, index, hash64(f"commit {index}"), cluster)


def lesson(index: int, group: int | None = None, cluster: int | None = None) -> Candidate:
    group = hash64(f"group {index if group is None else group}")
    return Candidate(index, LESSON, group, index, hash64(f"lesson {index}"), cluster)


def test_the_newest_fifth_of_each_repository_is_held_out() -> None:
    rows = [commit(index, repository=index % 2) for index in range(100)]
    assert held_out(rows, 0.2, 0, {}).held_out == set(range(80, 100))


def test_about_a_fifth_of_the_lessons_is_held_out_whoever_else_is_there() -> None:
    rows = [lesson(index) for index in range(2_000)]
    whole = held_out(rows, 0.2, 0, {}).held_out
    assert 320 <= len(whole) <= 480
    assert held_out(rows[:500], 0.2, 0, {}).held_out == {index for index in whole if index < 500}
    assert held_out(rows, 0.2, 1, {}).held_out != whole


def test_no_fraction_holds_nothing_out() -> None:
    assert held_out([lesson(index) for index in range(50)], 0.0, 0, {}).held_out == set()


def test_what_was_held_out_once_stays_so_and_takes_new_rows_of_its_cluster_along() -> None:
    rows = [commit(index) for index in range(20)]
    rows[9] = commit(9, cluster=7)
    rows[16] = commit(16, cluster=7)
    decided = {row.tie: row.index == 9 for row in rows[:15]}
    assert held_out(rows, 0.2, 0, decided).held_out == {9, 16, 19}


def test_a_row_that_was_trained_on_and_is_tied_to_a_held_out_one_lies_on_neither_side() -> None:
    rows = [commit(index) for index in range(20)]
    rows[2] = commit(2, cluster=7)
    rows[9] = commit(9, cluster=7)
    decided = {row.tie: row.index == 9 for row in rows}
    found = held_out(rows, 0.2, 0, decided)
    assert (found.held_out, found.straddling) == ({9}, {2})


def test_a_group_keeps_its_side_whatever_seed_and_fraction_are_asked_for_later() -> None:
    rows, sides = [lesson(index) for index in range(200)], SidesInMemory()
    first = split(rows, 0.2, 0, sides)
    for fraction, seed in ((0.0, 0), (0.9, 1), (0.5, 7)):
        assert split(rows, fraction, seed, sides) == first
    more = [*rows, *(lesson(index) for index in range(200, 400))]
    later = split(more, 0.9, 3, sides).held_out
    assert {index for index in later if index < 200} == first.held_out
    assert len(later) > 150


def test_of_two_who_split_at_once_the_first_counts_for_both() -> None:
    class Raced(SidesInMemory):
        def decide(self, sides: Mapping[int, bool]) -> None:
            super().decide({key: not held for key, held in sides.items()})  # somebody was faster
            super().decide(sides)

    rows = [lesson(index) for index in range(50)]
    alone = held_out(rows, 0.2, 0, {}).held_out
    assert split(rows, 0.2, 0, Raced()).held_out == set(range(50)) - alone


def test_rows_that_say_the_same_lie_on_one_side_and_their_side_is_remembered() -> None:
    rows, sides = [lesson(index) for index in range(40)], SidesInMemory()
    said = Turns([7, 7, 8, 8, 9], [0, 1, 1, 2, 3])
    assert said.tied() == {0: 0, 1: 0, 2: 0}
    rows[:3] = [replace(each, tied=0) for each in rows[:3]]
    first = split(rows, 0.5, 0, sides, said)
    assert len({index in first.held_out for index in range(3)}) == 1
    assert sides.known([7, 8, 9]) == {
        7: 0 in first.held_out,
        8: 0 in first.held_out,
        9: 3 in first.held_out,
    }
    other = lesson(99)
    for fraction in (0.0, 0.99):
        later = split([other], fraction, 1, sides, Turns([8], [99])).held_out
        assert (99 in later) == (0 in first.held_out)


ROWS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 4), st.none() | st.integers(0, 3)), max_size=40
)


@settings(deadline=None)
@given(ROWS, st.floats(0.01, 0.9), st.integers(0, 3), st.sets(st.integers(0, 40)))
def test_clusters_and_groups_never_straddle(
    shapes: list[tuple[bool, int, int | None]], fraction: float, seed: int, before: set[int]
) -> None:
    rows = [
        commit(index, cluster, group) if is_git else lesson(index, group, cluster)
        for index, (is_git, group, cluster) in enumerate(shapes)
    ]
    decided = {row.key: row.key % 2 == 0 for row in rows if row.index in before}
    found = held_out(rows, fraction, seed, decided)
    assert held_out(rows, fraction, seed, decided) == found
    rows = [row for row in rows if row.index not in found.straddling]
    chosen = found.held_out
    assert all((row.index in chosen) == decided.get(row.key, row.index in chosen) for row in rows)
    for key in ("cluster", "group"):
        sides: dict[int, set[bool]] = {}
        for row in rows:
            value = getattr(row, key)
            if value is not None and not (key == "group" and row.source == GIT):
                sides.setdefault(value, set()).add(row.index in chosen)
        assert all(len(side) == 1 for side in sides.values())
