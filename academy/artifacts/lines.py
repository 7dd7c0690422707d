"""Any line of a large JSONL file at once, by a table of where every 64th line begins.

The table is made by reading the file once and is kept in a cache; a million lines take 125 kB.
Standard library only.
"""

from __future__ import annotations

import os
import uuid
from array import array
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

STRIDE = 64
#: Marks a table of this layout: the mark, the number of lines, then the offsets, 8 bytes each.
_MAGIC = int.from_bytes(b"lines\0\0\1", "big")


@dataclass(frozen=True)
class Lines:
    """The lines of a file that does not change; `starts` are the offsets of every 64th."""

    path: Path
    count: int
    starts: array[int]

    def part(self, first: int, limit: int) -> list[bytes]:
        """At most `limit` lines, from number `first` (from 0) on."""
        if first >= self.count or limit <= 0:
            return []
        with self.path.open("rb") as stream:
            stream.seek(self.starts[first // STRIDE])
            skipped = first % STRIDE
            return list(islice(stream, skipped, skipped + limit))


def lines_of(path: Path, cache: Path) -> Lines:
    """The lines of `path`, with the table from the file `cache`, which is made if there is none.

    The caller sees to it that `cache` belongs to this very content, by its digest in the name.
    """
    found = _read(path, cache)
    if found is None:
        found = _scan(path)
        _write(found, cache)
    return found


def _scan(path: Path) -> Lines:
    starts, count, offset = array("Q"), 0, 0
    with path.open("rb") as stream:
        for line in stream:
            if count % STRIDE == 0:
                starts.append(offset)
            count += 1
            offset += len(line)
    return Lines(path, count, starts)


def _read(path: Path, cache: Path) -> Lines | None:
    """The table, or None if there is none or it is damaged."""
    try:
        data = cache.read_bytes()
    except FileNotFoundError:
        return None
    if len(data) < 16 or len(data) % 8:
        return None
    table = array("Q", data)
    magic, count, starts = table[0], table[1], table[2:]
    if magic != _MAGIC or len(starts) != -(-count // STRIDE):
        return None
    return Lines(path, count, starts)


def _write(lines: Lines, cache: Path) -> None:
    """Keep the table. It shows at once or not at all; two writers write the same."""
    cache.parent.mkdir(parents=True, exist_ok=True)
    temporary = cache.with_name(f".{cache.name}.{os.getpid()}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes((array("Q", [_MAGIC, lines.count]) + lines.starts).tobytes())
        temporary.replace(cache)
    finally:
        temporary.unlink(missing_ok=True)
