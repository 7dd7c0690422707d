"""A table fits the terminal, and an id, a name or a path in it is never cut or broken."""

from __future__ import annotations

import string

import hypothesis.strategies as st
import pytest
from hypothesis import given
from rich.cells import cell_len

from academy.cli.tables import laid_out, wrapped

COLUMNS = ("job", "kind", "status", "made", "why")
PROSE = {"status", "made", "why"}
JOB = "training_20261201_004508_8ksnwg"
ROW = (JOB, "training", "running 42%", "2026-12-01 01:37 CET", "a sentence " * 9)


def test_in_a_pipe_each_row_is_one_line() -> None:
    heading, *lines = laid_out(COLUMNS, [ROW, ROW], None, PROSE)
    assert heading.split() == list(COLUMNS)
    assert len(lines) == 2 and all(line.endswith("a sentence") for line in lines)


def test_what_fits_is_a_table_and_prose_gives_way_between_words() -> None:
    lines = laid_out(COLUMNS, [ROW], 88, PROSE)
    assert max(map(cell_len, lines)) <= 88
    assert lines[1].startswith(f"{JOB}  training  running")
    assert "42%" in lines[2] and "01:37 CET" in lines[2]
    assert " ".join(lines).count("sentence") == 9


def test_what_does_not_fit_beside_each_other_stands_below_each_other() -> None:
    assert laid_out(COLUMNS, [(*ROW[:4], "")] * 2, 44, PROSE) == [
        f"job     {JOB}",
        "kind    training",
        "status  running 42%",
        "made    2026-12-01 01:37 CET",
        "",
        f"job     {JOB}",
        "kind    training",
        "status  running 42%",
        "made    2026-12-01 01:37 CET",
    ]


@pytest.mark.parametrize("width", [1, 10, 40, 80])
def test_what_is_longer_than_a_line_runs_over_its_edge(width: int) -> None:
    path = "/srv/" + "x" * 120
    lines = laid_out(("adapter", "path"), [("a", path)], width)
    assert path in lines


def test_wide_characters_count_as_they_are_drawn() -> None:
    lines = laid_out(("name", "n"), [("日本語", 1), ("abc", 22)], None)
    assert lines[1:] == ["日本語  1", "abc     22"]
    assert wrapped("日本 語日 本語", 9) == ["日本 語日", "本語"]


def test_what_would_move_the_cursor_is_shown_as_an_escape() -> None:
    _, line = laid_out(("name", "why"), [("a\x1b[2J\rb\n", "c\nd\te")], None, {"why"})
    assert line == r"a\x1b[2J\rb\n  c d e"


WORDS = st.text(string.ascii_letters, min_size=1, max_size=50)
ROWS = st.lists(st.tuples(WORDS, WORDS, st.lists(WORDS, max_size=8).map(" ".join)), min_size=1)


@given(rows=ROWS, width=st.integers(1, 130))
def test_no_word_is_ever_lost_or_broken(rows: list[tuple[str, str, str]], width: int) -> None:
    lines = laid_out(("first", "second", "third"), rows, width, {"third"})
    told = sorted(word for line in lines for word in line.split())
    words = sorted(word for row in rows for cell in row for word in cell.split())
    for word in words:
        told.remove(word)
    assert set(told) <= {"first", "second", "third"}
    longest = max(map(len, words))
    assert max(map(cell_len, lines)) <= max(width, longest, len("second"))
