"""Disks: how an error says that one takes nothing any more, and how much room one has."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

#: What an `OSError` says of a disk that is full, or read only, and of one's share of it.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
#: With less than this, writing fails now or soon.
FULL_BYTES = 16 << 20


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the closest one above it that exists."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """The room for files at `path`, or at the nearest folder above it that is there."""
    return shutil.disk_usage(nearest_folder(path)).free
