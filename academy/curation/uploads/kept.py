"""Uploaded files in the artifact store: what a worker on any host curates from.

A file is kept as it came, under its content's digest, so that the dataset can be made again.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from academy.artifacts.manifest import write_manifest
from academy.artifacts.store import ArtifactStore
from academy.curation.sources import Row
from academy.curation.uploads.rows import Seen, read_upload
from academy.errors import NotFound

_KIND = "uploads"
_NAME = "upload"
_PREFIX = "upload_"
_ID = re.compile(r"upload_[0-9a-f]{64}")


def keep(store: ArtifactStore, path: Path) -> str:
    """Put a checked file into the store; its id, the same for the same bytes.

    Raises `StorageFailure`. The file at `path` is hard-linked or copied and may go afterwards.
    """
    folder = path.with_name(f"{path.name}.kept")
    folder.mkdir()
    try:
        os.link(path, folder / _NAME)
        write_manifest(folder)
        key = store.publish(folder, _KIND)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return _PREFIX + key.rpartition("/")[2]


def require(store: ArtifactStore, upload_ids: Iterable[str]) -> None:
    """Raise `NotFound` for the first id that names no kept file."""
    for each in upload_ids:
        if not _ID.fullmatch(each) or not store.holds(_key(each)):
            raise NotFound(noun="upload", id=each)


def forget(store: ArtifactStore, upload_id: str) -> None:
    """Remove a kept file; datasets that were made of it stay. Raises `NotFound`."""
    require(store, [upload_id])
    store.delete(_key(upload_id))


def rows_of(
    store: ArtifactStore, upload_ids: Iterable[str], *, max_bytes: int, pairs: bool
) -> Iterator[Row]:
    """The rows of the kept files, one file after the other; see `read_upload`."""
    seen = Seen()
    for each in upload_ids:
        require(store, [each])
        folder = store.fetch(_key(each), f"sha256:{each.removeprefix(_PREFIX)}")
        yield from read_upload(folder / _NAME, max_bytes=max_bytes, pairs=pairs, seen=seen)


def _key(upload_id: str) -> str:
    return f"{_KIND}/{upload_id.removeprefix(_PREFIX)}"
