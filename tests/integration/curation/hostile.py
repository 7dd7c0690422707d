"""Reading a repository that may be hostile, and seeing whether it did anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from academy.curation.curate import curate
from academy.curation.request import CurationRequest


def sprung(trap: Path) -> int:
    marks = list((trap.parent / "sprung").iterdir())
    for mark in marks:
        mark.unlink()
    return len(marks)


def snapshot(*folders: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for folder in folders
        for path in sorted(folder.rglob("*"))
    }


def read(tmp_path: Path, repo: Any, **options: Any) -> dict[str, Any]:
    """Curate the repository; it must be byte for byte as it was, and nothing else may appear."""
    before = snapshot(repo.path)
    outside = {path.name for path in tmp_path.iterdir()}
    request = CurationRequest(repositories=(str(repo.path),), **options)
    try:
        result = curate(request, out=tmp_path / "dataset", allowed_roots=[tmp_path / "roots"])
    finally:
        assert snapshot(repo.path) == before
        assert {path.name for path in tmp_path.iterdir()} - outside <= {"dataset"}
    return result.statistics
