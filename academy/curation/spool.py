"""Rows on their way, on disk; in memory only what ordering and de-duplication need.

A row costs about 80 bytes here and 160 more for its band keys, so a million rows fit into a
quarter of a gigabyte.
"""

from __future__ import annotations

import marshal
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import fields
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from academy.basemodels.conversation import text_of
from academy.curation.sources import Row, comparable, fingerprint, opening_of

_FIELDS: tuple[str, ...] = tuple(each.name for each in fields(Row))
_TELLING_WORDS_AT_FIRST, _TELLING_WORDS = 6, 8
#: Words, or characters of scripts that put no blanks between them.
_WORDS = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff]|\w+?(?=[^\w]|$|[\u3040-\u9fff])"
)
SOURCES: tuple[str, ...] = ("lesson", "task", "run", "upload", "git")


class Spool:
    """An append-only file of rows with columns beside it. Close it, or use it as a context."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("w+b")
        self._size = 0
        self._ends = array("Q")  # where each row ends in the file
        self.times = array("q")
        self.ties = array("Q")  # hash of the row id: orders rows of the same second
        self.sources = array("B")  # index into SOURCES
        self.groups = array("Q")  # hash of the split group
        self.exact = array("Q")  # hash of the text without blanks that say nothing
        self.turns = array("Q")  # what `turns_of` finds in each row, one row after the other
        self.turn_counts = array("H")

    def __len__(self) -> int:
        return len(self._ends)

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
        written = marshal.dumps(values)
        self._file.write(written)
        self._size += len(written)
        self._ends.append(self._size)
        self.times.append(row.time)
        self.ties.append(hash64(row.id))
        self.sources.append(SOURCES.index(row.source))
        self.groups.append(hash64(row.group))
        self.exact.append(hash64(comparable(content_of(row))))
        turns = turns_of(row.source, row.messages)
        self.turns.extend(turns)
        self.turn_counts.append(len(turns))

    def flush(self) -> None:
        """Make everything readable; a full disk shows here at the latest."""
        self._file.flush()

    def read(self, index: int) -> Row:
        """The row that was appended as number `index`."""
        begin = self._ends[index - 1] if index else 0
        self._file.seek(begin)
        # Nobody else writes the file, which lies in the curation's own folder and goes with it.
        return Row(*marshal.loads(self._file.read(self._ends[index] - begin)))


def content_of(row: Row) -> str:
    """The text by which rows are compared: all that is said, without the roles."""
    said = [text_of(each) for each in row.messages]
    if row.rejected is not None:
        said.append(row.rejected)
    return "\n".join(said)


def turns_of(source: str, messages: Sequence[Mapping[str, Any]]) -> list[int]:
    """Hashes of what ties a row to others by what is said: its opening, and each message with its
    answer. None for a commit.

    Two rows that have one in common say the same in the same place, so the split must not tear them
    apart. A few words ("Thank you." "You are welcome.") are the same by chance, but less so at the
    beginning of a conversation.
    """
    if source == "git":
        return []
    found = [hash64(f"opening:{fingerprint(opening_of(messages))}")]
    telling = _TELLING_WORDS_AT_FIRST
    for before, answer in pairwise(messages):
        if answer["role"] != "assistant":
            continue
        said = f"{text_of(before)}\0{text_of(answer)}"
        if len(_WORDS.findall(said)) >= telling:
            found.append(hash64(f"turn:{fingerprint(said)}"))
        telling = _TELLING_WORDS
    return found


def hash64(text: str) -> int:
    """64 bits of BLAKE2b, the same on every machine and in every run."""
    digest = blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
