"""A process's output becomes lines as it comes, however it is torn."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from academy.training.output_lines import lines_of


def _lines(data: bytes, longest: int = 1 << 20) -> list[str]:
    return list(lines_of(io.BufferedReader(io.BytesIO(data)), longest))  # type: ignore[arg-type]


def test_a_progress_bar_gives_a_line_each_time_it_moves() -> None:
    assert _lines(b" 1%|\r 2%|\r 3%|\ndone") == [" 1%|", " 2%|", " 3%|", "done"]


def test_a_line_that_never_ends_comes_in_pieces() -> None:
    data = b"x" * 300_000
    pieces = _lines(data, longest=100_000)
    assert "".join(pieces) == data.decode()
    assert max(map(len, pieces)) < 200_000


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert _lines(b"a\xffb\n") == ["a\ufffdb"]


@given(st.lists(st.text(alphabet="ab\u00e9 ", min_size=1, max_size=9), max_size=9))
def test_every_line_comes_once_and_in_order(lines: list[str]) -> None:
    assert _lines("\n".join(lines).encode()) == lines


@pytest.mark.timeout(30)
def test_a_line_is_given_before_the_next_one_is_written() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb", buffering=0) as writer:
        lines = lines_of(reader)
        writer.write(b"first\nsec")
        assert next(lines) == "first"
        writer.write(b"ond\r")
        assert next(lines) == "second"
