"""The split keeps what belongs together, and its word."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from academy.curation.split import Candidate, held_out
from academy.curation.spool import SOURCES, hash64

GIT, LESSON = SOURCES.index("git"), SOURCES.index("lesson")


def commit(index: int, cluster: int | None = None, repository: int = 1) -> Candidate:
    return Candidate(index, GIT, repository, index, hash64(f"commit {index}"), cluster)


def lesson(index: int, group: int | None = None, cluster: int | None = None) -> Candidate:
    group = hash64(f"group {index if group is None else group}")
    return Candidate(index, LESSON, group, index, hash64(f"lesson {index}"), cluster)


def test_the_newest_fifth_of_each_repository_is_held_out() -> None:
    rows = [commit(index, repository=index % 2) for index in range(100)]
    assert held_out(rows, 0.2, 0, {}) == set(range(80, 100))


def test_about_a_fifth_of_the_lessons_is_held_out_whoever_else_is_there() -> None:
    rows = [lesson(index) for index in range(2_000)]
    whole = held_out(rows, 0.2, 0, {})
    assert 320 <= len(whole) <= 480
    assert held_out(rows[:500], 0.2, 0, {}) == {index for index in whole if index < 500}
    assert held_out(rows, 0.2, 1, {}) != whole


def test_no_fraction_holds_nothing_out() -> None:
    assert held_out([lesson(index) for index in range(50)], 0.0, 0, {}) == set()


def test_what_was_held_out_once_stays_so_and_takes_its_cluster_along() -> None:
    rows = [commit(index) for index in range(20)]
    rows[2] = commit(2, cluster=7)
    rows[9] = commit(9, cluster=7)
    decided = {row.tie: row.index == 9 for row in rows[:15]}
    assert held_out(rows, 0.2, 0, decided) == {2, 9, 19}


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
    decided = {row.tie: row.index % 2 == 0 for row in rows if row.index in before}
    chosen = held_out(rows, fraction, seed, decided)
    assert held_out(rows, fraction, seed, decided) == chosen
    for key in ("cluster", "group"):
        sides: dict[int, set[bool]] = {}
        for row in rows:
            value = getattr(row, key)
            if value is not None and not (key == "group" and row.source == GIT):
                sides.setdefault(value, set()).add(row.index in chosen)
        assert all(len(side) == 1 for side in sides.values())
