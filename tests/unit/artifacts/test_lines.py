"""Every line of a file is found at once, wherever it is, and a damaged table is made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from academy.artifacts.lines import STRIDE, lines_of


@pytest.mark.parametrize("count", [0, 1, STRIDE - 1, STRIDE, STRIDE + 1, 5 * STRIDE + 3])
@pytest.mark.parametrize("last", [b"\n", b""])
def test_each_part_is_what_a_plain_reading_gives(count: int, last: bytes, tmp_path: Path) -> None:
    wanted = [f"line {n} {'x' * (n % 7)}é\n".encode() for n in range(count)]
    if wanted:
        wanted[-1] = wanted[-1].removesuffix(b"\n") + last
    path, cache = tmp_path / "rows.jsonl", tmp_path / "cache" / "table"
    path.write_bytes(b"".join(wanted))
    for lines in (lines_of(path, cache), lines_of(path, cache)):
        assert lines.count == count
        for first in range(0, count + 2, 7):
            assert lines.part(first, 10) == wanted[first : first + 10]
        assert lines.part(0, 0) == []


def test_a_damaged_table_is_made_again(tmp_path: Path) -> None:
    path, cache = tmp_path / "rows.jsonl", tmp_path / "table"
    path.write_bytes(b"a\nb\n")
    lines_of(path, cache)
    for damage in (b"", b"short", b"\0" * 24, cache.read_bytes()[:16]):
        cache.write_bytes(damage)
        assert lines_of(path, cache).part(1, 5) == [b"b\n"]
