"""Verified folders of the store, each verified once by a process and again when it changed.

Hashing a large dataset takes seconds, and a page of its rows should not.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from academy.artifacts.manifest import verify_manifest
from academy.artifacts.store import ArtifactStore
from academy.errors import DigestMismatch

#: Folders that are remembered; beyond them the one that was not asked for the longest is forgotten.
MOST_REMEMBERED = 1_000

#: Name, bytes, time of the last change of content and of the inode (ns), and inode of each file.
_Signature = tuple[tuple[str, int, int, int, int], ...]


class VerifiedFolders:
    """Gives the folders of one store, verified. Threads may share it: its state is a dictionary."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._verified: OrderedDict[tuple[str, str], _Signature] = OrderedDict()

    def fetch(self, key: str, digest: str) -> Path:
        """The local folder of `key`, whose files have the digest.

        Raises `ManifestMissing`, `DigestMismatch` or `StorageFailure`.
        """
        folder = self._store.locate(key)
        signature = _signature(folder)
        if self._verified.get((key, digest)) != signature:
            self._verified.pop((key, digest), None)
            verify_manifest(folder, digest)
            if _signature(folder) != signature:
                raise DigestMismatch(path=str(folder), actual="one that changes", expected=digest)
            self._verified[key, digest] = signature
            while len(self._verified) > MOST_REMEMBERED:
                self._verified.popitem(last=False)
        return folder


def _signature(folder: Path) -> _Signature:
    found = []
    for path in sorted(folder.rglob("*")):
        stat = path.stat()
        found.append((str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino))
    return tuple(found)
