"""Commits that earlier runs have judged, so that the next run reads only the new ones.

A commit's verdict depends on nothing but the commit and the request, so remembering it changes no
byte of a dataset. The files hold text of the repository as it is, secrets included: they are for
the owner's eyes only and belong beside the repository's host, not into a dataset.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from academy import __version__
from academy.curation.git.outcome import Outcome, from_json, to_json
from academy.curation.git.process import git_output
from academy.curation.git.repository import Repository
from academy.curation.git.shadow import Shadow
from academy.curation.request import CurationRequest
from academy.host.filelock import FileLock

#: What decides a verdict besides the commit itself.
_FIELDS = ("git_example", "commit_message", "max_diff_chars", "max_files", "disabled_filters")
#: Raised whenever the rules for commits change.
_SCHEMA = 2


class CommitCache:
    """The judged commits of one repository under one request; about 150 bytes of memory each.

    After `begin`, `rewritten` says whether the commit that was HEAD when an earlier run read the
    repository is no longer part of its history; `new` counts what this run had to read.
    """

    def __init__(self, folder: Path, name: str, repository: Repository, request: CurationRequest):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        asked = request.model_dump(mode="json", include=set(_FIELDS))
        key = json.dumps([_SCHEMA, __version__, str(repository.git_dir), name, asked])
        stem = blake2b(key.encode(), digest_size=12).hexdigest()
        path = folder / f"{stem}.jsonl"
        self._lock = FileLock(path)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._file: BinaryIO = os.fdopen(handle, "r+b")
        self._head_path = folder / f"{stem}.head"
        self._places: dict[bytes, int] = {}
        self.new = 0
        self.rewritten = False
        self._head = ""

    def __enter__(self) -> CommitCache | None:
        """None while another run holds the file: it is quicker to read git than to wait."""
        if not self._lock.acquire():
            return None
        for place, line in self._lines():
            self._places[bytes.fromhex(line[:64].split(b" ")[0].decode())] = place
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._lock.release()

    def __contains__(self, commit_id: str) -> bool:
        return bytes.fromhex(commit_id) in self._places

    def begin(self, shadow: Shadow, tick: Callable[[], None]) -> None:
        """Compare the HEAD of the last run with today's."""
        self._head = shadow.head or ""
        if self._head_path.exists():
            before = self._head_path.read_text().strip()
            self.rewritten = not _is_ancestor(shadow, before, tick)

    def add(self, commit_id: str, outcome: Outcome) -> None:
        """Remember a verdict."""
        place = self._file.seek(0, os.SEEK_END)
        self._file.write(f"{commit_id} {to_json(outcome)}\n".encode())
        self._places[bytes.fromhex(commit_id)] = place
        self.new += 1

    def outcome(self, commit_id: str) -> Outcome:
        """The verdict on a commit that was added, in this run or an earlier one."""
        self._file.seek(self._places[bytes.fromhex(commit_id)])
        return from_json(self._file.readline().partition(b" ")[2].decode())

    def save(self) -> None:
        """Note today's HEAD for the next run."""
        self._file.flush()
        self._head_path.write_text(self._head + "\n")

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Each whole line with its place; what a crash left half written is cut off."""
        place = 0
        for line in self._file:
            if not line.endswith(b"]\n"):
                self._file.truncate(place)
                return
            yield place, line
            place += len(line)


def _is_ancestor(shadow: Shadow, before: str, tick: Callable[[], None]) -> bool:
    """Whether the commit `before` is still part of the history; git says no or that it is gone."""
    if not before or shadow.head is None:
        return not before
    arguments = ["merge-base", "--is-ancestor", "--end-of-options", before, shadow.head]
    try:
        with closing(git_output(shadow, arguments, tick)) as output:
            for _ in output:
                pass
    except OSError:
        return False
    return True
