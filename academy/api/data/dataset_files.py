"""The files behind a dataset's views: verified once, read in parts, compared by table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from academy.errors import NotFound
from academy.store.data.tables import Dataset
from academy.web.artifacts import folders
from academy.web.offload import offload
from academy.web.state import state

if TYPE_CHECKING:
    from academy.artifacts.lines import Lines
    from academy.curation.dataset.row_table import RowTable

FILES = {
    "dataset": "dataset.jsonl",
    "train": "train.jsonl",
    "heldout": "heldout.jsonl",
    "drops": "drops.jsonl",
    "statistics": "statistics.json",
    "card": "README.md",
    "manifest": "manifest.json",
}


def folder_of(dataset: Dataset) -> Path:
    """The dataset's folder, whose files are what they were.

    Raises `ManifestMissing`, `DigestMismatch` or `StorageFailure`.
    """
    return offload(folders(state().settings).fetch, dataset.key, dataset.digest)


def file_of(dataset: Dataset, name: str) -> Path:
    """One of `FILES` of the verified folder. Raises `NotFound` too."""
    path = folder_of(dataset) / FILES[name]
    if not path.is_file():
        raise NotFound(noun=f"file of the dataset {dataset.id!r} named", id=FILES[name])
    return path


def lines_of(dataset: Dataset, name: str) -> Lines:
    """The lines of one of the `FILES`, any of which is found at once."""
    from academy.artifacts.lines import lines_of as table

    path = file_of(dataset, name)
    return offload(table, path, _cache(dataset) / f"{path.name}.lines")


def rows_of(lines: Lines, first: int, limit: int) -> list[dict[str, Any]]:
    """At most `limit` rows from number `first` (from 0) on."""
    return [json.loads(line) for line in offload(lines.part, first, limit)]


def row_table(dataset: Dataset) -> RowTable:
    """The table of the dataset's rows, by which two datasets are compared."""
    from academy.curation.dataset.row_table import table_of

    return table_of(folder_of(dataset), _cache(dataset) / "rows.npy")


def rows_at(dataset: Dataset, table: RowTable, entries: Sequence[int]) -> list[dict[str, Any]]:
    """The rows that these entries of the table stand for, each with its `split`."""
    sides = {side: lines_of(dataset, side) for side in ("train", "heldout")}
    places = [table.where(int(entry)) for entry in entries]
    return [{**json.loads(sides[side].part(line, 1)[0]), "split": side} for side, line in places]


def _cache(dataset: Dataset) -> Path:
    name = dataset.digest.removeprefix("sha256:")
    return Path(state().settings.home) / "cache" / "rows" / name
