"""Folders for what is being made, removed when it is done or, after a kill, by the next one."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

#: Nothing is made for so long, so an older folder was left by a process that was killed.
_STALE_SECONDS = 24 * 3600.0


@contextlib.contextmanager
def scratch(home: Path, kind: str) -> Iterator[Path]:
    """A new folder below ``home/work/kind``, where stale ones are removed. Raises `OSError`."""
    parent = home / "work" / kind
    parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(parent)
    folder = Path(tempfile.mkdtemp(dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale(parent: Path) -> None:
    for each in parent.iterdir():
        try:
            is_stale = time.time() - each.stat().st_mtime > _STALE_SECONDS
        except FileNotFoundError:
            continue  # somebody else has just removed its own
        if is_stale:
            shutil.rmtree(each, ignore_errors=True)
