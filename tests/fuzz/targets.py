"""What must hold for any bytes at all: what the fuzzers and the ordinary tests both check.

Each target takes bytes, feeds them to the real code, and raises where a promise is broken.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from academy.basemodels.conversation import ROLES
from academy.curation.errors import UploadRefused
from academy.curation.git.change import parse_change
from academy.curation.git.history import Commit, parse_record, split_records
from academy.curation.uploads.rows import MAX_PROBLEMS, read_upload, validate_upload

#: No input of a fuzzer's size may take longer; hangs show as failures, not as silence.
LONGEST_SECONDS = 5.0
_TOKEN = b"0123456789abcdef" * 2
_LIMIT = 2_000
_MESSAGE_KEYS = {"role", "content", "name", "tool_calls", "weight"}
_IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
_FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-", dir=_IN_MEMORY))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


def diff_parser(data: bytes) -> None:
    """The diff is parsed whatever it holds, and never makes a commit of its own."""
    began = time.monotonic()
    change = parse_change(data)
    change.text.encode("utf-8")
    assert all(isinstance(file.path, str) and file.kind for file in change.files)
    assert change.undecodable == (data.decode("utf-8", "replace").encode() != data)
    sections = (b"\n" + data).count(b"\ndiff --git ")
    assert len(change.files) == sections, (len(change.files), sections)
    _check_stream(data)
    _check_time(began)


def upload_validator(data: bytes) -> None:
    """A file is refused, reported line by line, or read as exactly the rows that were counted."""
    began = time.monotonic()
    path = _FOLDER / f"upload-{os.getpid()}"
    path.write_bytes(data)
    try:
        report = validate_upload(path)
    except UploadRefused:
        return
    finally:
        _check_time(began)
    assert report.bad_rows <= report.rows
    assert len(report.problems) == min(report.problems_total, MAX_PROBLEMS)
    assert report.ok == (report.bad_rows == 0)
    for problem in report.problems:
        assert problem.line >= 1 and problem.code and problem.reason
        assert problem.pointer == "" or problem.pointer.startswith("/")
    try:
        rows = list(read_upload(path))
    except UploadRefused:
        assert not report.ok
        return
    assert report.ok and len(rows) == report.rows
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        assert row.messages[-1]["role"] == "assistant" and row.answer.strip()
        for message in row.messages:
            assert {"role", "content"} <= set(message) <= _MESSAGE_KEYS
            assert message.get("weight", 0) == 0 and message["role"] in ROLES
        json.dumps([row.messages, row.tools], ensure_ascii=False).encode("utf-8")
    _check_time(began)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "diff_parser": diff_parser,
    "upload_validator": upload_validator,
}


def _check_stream(data: bytes) -> None:
    """`data` as message and as diff of commits, cut into chunks at places that it decides."""
    step = 1 + (data[0] if data else 0)
    stream = b"".join(_printed(oid, data) for oid in _IDS)
    chunks = (stream[at : at + step] for at in range(0, len(stream), step))
    found = [
        parse_record(record, _TOKEN, truncated, frozenset())
        for record, truncated in split_records(chunks, _TOKEN, _LIMIT)
    ]
    if _TOKEN in data:  # nobody can guess 128 random bits
        return
    commits = [each for each in found if isinstance(each, Commit)]
    assert [each.id for each in commits] == list(_IDS), "a commit was forged or lost"
    for commit in commits:
        assert len(commit.diff) <= _LIMIT
        assert commit.truncated or commit.diff == data.lstrip(b"\n"), "a diff was changed"


_IDS = ("a" * 40, "b" * 40, "c" * 40)


def _printed(oid: str, data: bytes) -> bytes:
    """A commit as ``git log`` prints it in our format; a message holds no NUL."""
    message = data.replace(b"\0", b"")[:500]
    header = b"\n".join([oid.encode(), b"", b"1700000000", b"Ada", b"a@b.example", message])
    return _TOKEN + b"\n" + header + b"\n" + _TOKEN + b"\n\n" + data


def _check_time(began: float) -> None:
    took = time.monotonic() - began
    assert took < LONGEST_SECONDS, f"{took:.1f} s"
