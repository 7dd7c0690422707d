"""``python -m academy.curation.dataset.row_table``: what tells a dataset's rows apart, as columns.

Of each row a hash of its id, a hash of what it says, its side and its line: 24 bytes, so that two
datasets of a million rows are compared in little memory. Making the table parses every row, so it
is made once for a dataset, in a process of its own, and kept in a cache.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from academy.curation.spool import hash64
from academy.errors import AcademyError
from academy.host.processes import end_group, spawn

SIDES = ("train", "heldout")
#: What a row says; its provenance, its group and its side are told apart from that.
SAID = ("messages", "chosen", "rejected")
WALL_SECONDS = 600.0
_SIDE_BIT = 63


class TableNotMade(AcademyError):
    """The rows of {path} could not be listed: {why}."""

    code = "table_not_made"
    status = 503
    next_step = "Try again; if it stays so, look into the server's log and at its free memory."


@dataclass(frozen=True)
class RowTable:
    """One entry a row, sorted by `ids`: hashes of id and content, and where the row is."""

    ids: Any  # (rows,) uint64
    said: Any  # (rows,) uint64
    places: Any  # (rows,) uint64: the line, and in the highest bit whether it is held out

    def where(self, entry: int) -> tuple[str, int]:
        """The side and the line (from 0) of an entry."""
        place = int(self.places[entry])
        return SIDES[place >> _SIDE_BIT], place & ~(1 << _SIDE_BIT)


def table_of(folder: Path, cache: Path) -> RowTable:
    """The table of the dataset in `folder`, from the file `cache`, which is made if there is none.

    The caller sees to it that `cache` belongs to this very content. Raises `TableNotMade`.
    """
    import numpy as np

    if not cache.is_file():
        _make_apart(folder, cache)
    columns = np.load(cache, mmap_mode="r")
    return RowTable(columns[0], columns[1], columns[2])


def make_table(folder: Path, cache: Path) -> None:
    """Read the dataset in `folder` and write its table to `cache`, whole or not at all."""
    import numpy as np

    ids, said, places = array("Q"), array("Q"), array("Q")
    for side, name in enumerate(SIDES):
        with (folder / f"{name}.jsonl").open("rb") as stream:
            for line, data in enumerate(stream):
                row = json.loads(data)
                ids.append(hash64(str(row.get("id"))))
                content = [row.get(each) for each in SAID]
                said.append(hash64(json.dumps(content, ensure_ascii=False, sort_keys=True)))
                places.append(side << _SIDE_BIT | line)
    columns = np.array([np.frombuffer(each, dtype=np.uint64) for each in (ids, said, places)])
    columns = columns[:, np.argsort(columns[0], kind="stable")]
    cache.parent.mkdir(parents=True, exist_ok=True)
    temporary = cache.with_name(f".{cache.name}.{os.getpid()}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as stream:
            np.save(stream, columns)
        temporary.replace(cache)
    finally:
        temporary.unlink(missing_ok=True)


def _make_apart(folder: Path, cache: Path) -> None:
    command = [sys.executable, "-m", "academy.curation.dataset.row_table", str(folder), str(cache)]
    process = spawn(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with process:  # which closes its pipe
        try:
            _, told = process.communicate(timeout=WALL_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise TableNotMade(path=folder.name, why=f"more than {WALL_SECONDS:g} s") from error
        finally:
            end_group(process, grace_seconds=0)
    if process.returncode != 0:
        last = told.decode(errors="replace").strip().rpartition("\n")[2]
        raise TableNotMade(path=folder.name, why=last or f"exit status {process.returncode}")


if __name__ == "__main__":
    make_table(Path(sys.argv[1]), Path(sys.argv[2]))
