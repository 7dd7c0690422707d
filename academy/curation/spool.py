"""Rows on their way, on disk; in memory only what ordering and de-duplication need.

A row costs about 60 bytes here and 160 more for its band keys, so a million rows fit into a
quarter of a gigabyte.
"""

from __future__ import annotations

import json
from array import array
from dataclasses import fields
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from academy.curation.sources import Row

_FIELDS: tuple[str, ...] = tuple(each.name for each in fields(Row))
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
SOURCES: tuple[str, ...] = ("lesson", "task", "run", "upload", "git")


class Spool:
    """An append-only file of rows with columns beside it. Close it, or use it as a context."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("w+b")
        self._size = 0
        self._offsets = array("Q")
        self.times = array("q")
        self.ties = array("Q")  # hash of the row id: orders rows of the same second
        self.sources = array("B")  # index into SOURCES
        self.groups = array("Q")  # hash of the split group
        self.exact = array("Q")  # hash of the text without its white space

    def __len__(self) -> int:
        return len(self._offsets)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; nothing can be read any more."""
        self._file.close()

    def append(self, row: Row) -> None:
        """Write a row to disk and note its columns."""
        # Fields in a fixed order; `dataclasses.asdict` copies deeply, which took a third of a run.
        values = [getattr(row, name) for name in _FIELDS]
        line = _ENCODER.encode(values).encode() + b"\n"
        self._file.write(line)
        self._offsets.append(self._size)
        self._size += len(line)
        self.times.append(row.time)
        self.ties.append(hash64(row.id))
        self.sources.append(SOURCES.index(row.source))
        self.groups.append(hash64(row.group))
        self.exact.append(hash64(" ".join(content_of(row).split())))

    def flush(self) -> None:
        """Make everything readable; a full disk shows here at the latest."""
        self._file.flush()

    def read(self, index: int) -> Row:
        """The row that was appended as number `index`."""
        self._file.seek(self._offsets[index])
        values = dict(zip(_FIELDS, json.loads(self._file.readline()), strict=True))
        values["messages"] = tuple(values["messages"])
        values["touched"] = tuple(values["touched"])
        return Row(**values)


def content_of(row: Row) -> str:
    """The text by which rows are compared: all that is said, without the roles."""
    said = [message["content"] for message in row.messages]
    if row.rejected is not None:
        said.append(row.rejected)
    return "\n".join(said)


def hash64(text: str) -> int:
    """64 bits of BLAKE2b, the same on every machine and in every run."""
    digest = blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
