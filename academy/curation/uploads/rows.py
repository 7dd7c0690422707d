"""Files that users bring: validated as a whole, then read as rows.

A file is JSON lines or Parquet, in one of the formats of `academy.curation.uploads.formats`.
Nothing of a file with a bad line is used: the report names each bad line, so that one correction
mends all.
"""

from __future__ import annotations

import json
import os
import stat
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from academy.curation.errors import UploadRefused
from academy.curation.sources import Row, clean, fingerprint, opening_of
from academy.curation.spool import hash64
from academy.curation.uploads.formats import Conversation, Problem, detect, read_row
from academy.curation.uploads.kinds_of_files import what_it_is
from academy.validation.reading import pointer_of
from academy.wire.strict_json import JsonFault, read_json

MAX_PROBLEMS = 1_000
MAX_LINE_BYTES = 4 << 20
MAX_ROWS = 1_000_000
_PARQUET_GROUP_BYTES = 1 << 30
_POLL_ROWS = 256
_MAX_IGNORED = 100
#: So much of a file's beginning is looked at to call it what it is.
_SNIFFED_BYTES = 1 << 16

Numbered = tuple[int, Any, Problem | None]


@dataclass(frozen=True)
class UploadReport:
    """What a file holds. `rows` counts the good and the bad; lines and rows count from 1.

    `problems` are the first 1,000 in order of line, `problems_total` counts all of them, and
    `bad_rows` the lines that have one. `ignored` counts what the good lines have and no training
    uses, by its place: ``/messages/*/name``.
    """

    format: str | None
    rows: int
    bad_rows: int
    problems: tuple[Problem, ...]
    problems_total: int
    ignored: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every line can be used."""
        return self.problems_total == 0


def validate_upload(
    path: Path, *, max_bytes: int = 512 << 20, tick: Callable[[], None] = lambda: None
) -> UploadReport:
    """Check every line of a file; nothing is stored.

    `tick` is called every 256 rows and may raise to stop. Raises `UploadRefused` where there are no
    lines to speak of: no regular file, empty, too large, compressed, or no Parquet after all.
    """
    problems: list[Problem] = []
    format: str | None = None
    ignored: Counter[str] = Counter()
    rows = bad = 0
    for numbered in _rows(path, max_bytes):
        rows += 1
        if rows % _POLL_ROWS == 0:
            tick()
        if rows > MAX_ROWS:
            raise UploadRefused(path=path.name, why=f"it has more than {MAX_ROWS:,} rows")
        format, found = _read(numbered, format)
        if not isinstance(found, Problem):
            _count(ignored, found.ignored)
            continue
        bad += 1
        if len(problems) < MAX_PROBLEMS:
            problems.append(found)
    if rows == 0:
        raise UploadRefused(path=path.name, why="it holds no row")
    return UploadReport(format, rows, bad, tuple(problems), bad, dict(sorted(ignored.items())))


def read_upload(
    path: Path, *, max_bytes: int = 512 << 20, pairs: bool = False, seen: Seen | None = None
) -> Iterator[Row]:
    """The rows of a file that `validate_upload` found to be good.

    With `pairs` the rows keep their rejected answers. A row's id is made from its own ``id``, else
    from what it says, so it is the same in whichever file and line it comes; where it is there
    twice (`seen` remembers that across files), the later row's id has its line too. Rows on the
    same question share a split group, and of two equal rows the first is the earlier.

    Raises `UploadRefused` at a bad line, so an unchecked file is never half used, and where pairs
    are wanted of a file that has none.
    """
    format: str | None = None
    seen = Seen() if seen is None else seen
    for numbered in _rows(path, max_bytes):
        line, value, _ = numbered
        format, found = _read(numbered, format)
        if isinstance(found, Problem):
            raise UploadRefused(path=path.name, why=f"line {line}: {found.reason}")
        assert format is not None  # or no conversation would have been found
        if pairs and format != "preference":
            raise UploadRefused(path=path.name, why=f"it is {format}, which has no rejected answer")
        messages = tuple(
            {**_free_of_nul(each), "content": clean(each["content"])} for each in found.messages
        )
        rejected = clean(found.rejected) if pairs and found.rejected is not None else None
        yield Row(
            id=_row_id(value, [*messages, rejected] if pairs else messages, line, seen),
            messages=messages,
            source="upload",
            group=f"upload:{fingerprint(opening_of(messages))}",
            time=line,
            provenance=_provenance(value, line, format),
            rejected=rejected,
            tools=tuple(map(_free_of_nul, found.tools)),
        )


def _read(numbered: Numbered, format: str | None) -> tuple[str | None, Conversation | Problem]:
    """The file's format, which its first good line tells, and the line's conversation."""
    line, value, problem = numbered
    if problem is not None:
        return format, problem
    format = format or detect(value)
    return format, read_row(value, format, line)


def _free_of_nul(value: Any) -> Any:
    """A value without the NULs in its texts, which contents lose, too."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, dict):
        return {_free_of_nul(name): _free_of_nul(each) for name, each in value.items()}
    return [_free_of_nul(each) for each in value] if isinstance(value, list) else value


def _count(ignored: Counter[str], more: Counter[str]) -> None:
    """Add up what is ignored; of names that differ from row to row the first are told apart."""
    for place, times in more.items():
        is_told = place in ignored or len(ignored) < _MAX_IGNORED
        ignored[place if is_told else "/…"] += times


def _row_id(value: dict[str, Any], said: Any, line: int, seen: Seen) -> str:
    """``upload:`` and 96 bits, as hex, of the row's own id, else of what it says.

    Its own id may be an address or a name, which nobody redacts in an id.
    """
    own = _own_id(value)
    text = json.dumps(said if own is None else own, ensure_ascii=False)
    key = blake2b(text.encode("utf-8", "ignore"), digest_size=12).hexdigest()
    again = 0
    while not seen.add(hash64(key)):
        again += 1
        key = f"{key[:24]}:{line}" if again == 1 else f"{key[:24]}:{line}.{again}"
    return f"upload:{key}"


def _own_id(value: dict[str, Any]) -> str | None:
    own = value.get("id")
    return str(own) if isinstance(own, str | int) and not isinstance(own, bool) and own else None


def _provenance(value: dict[str, Any], line: int, format: str) -> dict[str, Any]:
    own = _own_id(value)
    return {"line": line, "format": format, **({} if own is None else {"id": own[:200]})}


class Seen:
    """A set of 64-bit numbers, at most `MAX_ROWS` of them, in 16 MiB whatever their number."""

    _SLOTS = 1 << 21  # twice as many as rows, so that a free one is near

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * self._SLOTS))
        self._count = 0

    def add(self, number: int) -> bool:
        """Whether the number is new; it is in the set from now on. Raises `UploadRefused`."""
        number = number or 1  # zero marks a free slot
        place = number % self._SLOTS
        while self._slots[place]:
            if self._slots[place] == number:
                return False
            place = (place + 1) % self._SLOTS
        self._count += 1
        if self._count > MAX_ROWS:
            raise UploadRefused(path="all uploads", why=f"they have more than {MAX_ROWS:,} rows")
        self._slots[place] = number
        return True


def _rows(path: Path, max_bytes: int) -> Iterator[Numbered]:
    """(number, value, problem with reading it) for each row of the file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UploadRefused(path=path.name, why=error.strerror or str(error)) from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise UploadRefused(path=path.name, why="it is no regular file")
    with os.fdopen(handle, "rb") as stream:
        if status.st_size > max_bytes:
            why = f"it has {status.st_size:,} bytes; at most {max_bytes:,} are read"
            raise UploadRefused(path=path.name, why=why)
        start = stream.read(4)
        stream.seek(0)
        if start == b"PAR1":
            yield from _parquet_rows(path, stream)
            return
        if start[:2] == b"\x1f\x8b" or start in (b"\x28\xb5\x2f\xfd", b"PK\x03\x04"):
            raise UploadRefused(path=path.name, why="it is compressed; upload the file inside it")
        what = what_it_is(stream.read(_SNIFFED_BYTES))
        stream.seek(0)
        if what is not None:
            yield 1, None, Problem(1, "", *what)
            return
        yield from _json_rows(stream)


def _json_rows(stream: Any) -> Iterator[Numbered]:
    line = 0
    while data := stream.readline(MAX_LINE_BYTES + 1):
        line += 1
        if line == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if len(data) > MAX_LINE_BYTES:
            while data and not data.endswith(b"\n"):
                data = stream.readline(MAX_LINE_BYTES)
            reason = f"the line has more than {MAX_LINE_BYTES:,} bytes"
            yield line, None, Problem(line, "", "line_too_long", reason)
        elif data.strip():
            yield line, *_parse(data, line)


def _parse(data: bytes, line: int) -> tuple[Any, Problem | None]:
    try:
        return read_json(data, nul=True), None
    except JsonFault as fault:
        if fault.kind == "text":
            pointer = pointer_of(fault.location)
            return None, Problem(line, pointer, "invalid_encoding", f"the text {fault.why}")
        if fault.kind == "encoding":
            return None, Problem(line, "", "invalid_encoding", f"{fault.why} (in this line)")
        return None, Problem(line, "", "invalid_json", f"the line is no JSON: {fault.why}")


def _parquet_rows(path: Path, stream: Any) -> Iterator[Numbered]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        file = parquet.ParquetFile(stream)
        for group in range(file.metadata.num_row_groups):
            # A few bytes can stand for many: what a group unpacks to is known beforehand.
            if file.metadata.row_group(group).total_byte_size > _PARQUET_GROUP_BYTES:
                why = f"row group {group} unpacks to more than {_PARQUET_GROUP_BYTES >> 20} MiB"
                raise UploadRefused(path=path.name, why=why)
        if file.metadata.num_rows > MAX_ROWS:
            raise UploadRefused(path=path.name, why=f"it has more than {MAX_ROWS:,} rows")
        for batch in file.iter_batches(batch_size=_POLL_ROWS):
            for value in batch.to_pylist():
                number += 1
                yield number, _without_nulls(value), None
    except (pyarrow.ArrowException, OSError, ValueError, MemoryError) as error:
        why = f"it is no readable Parquet file after row {number} ({type(error).__name__})"
        raise UploadRefused(path=path.name, why=why) from error


def _without_nulls(value: Any) -> Any:
    """Parquet gives every struct all of its fields; the absent ones are null."""
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value
