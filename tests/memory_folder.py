"""Where the servers of a test run keep their data: in memory, where the machine offers that.

A database that is copied for a test is 450 files. Making them on a disk took a quarter of all
processor time of the tests on a small virtual machine, and a fifth of that in memory.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")
_PREFIX = "academy-tests-"
#: What the data of one process of tests may grow to, several times over.
_ENOUGH_BYTES = 2 << 30


@contextmanager
def memory_folder(otherwise: Path) -> Iterator[Path]:
    """An empty folder in memory, gone after the context; `otherwise` where there is too little."""
    if not _MEMORY.is_dir() or shutil.disk_usage(_MEMORY).free < _ENOUGH_BYTES:
        yield otherwise
        return
    _remove_what_the_killed_left()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_MEMORY))
    # PostgreSQL runs as an account without rights, which has to pass through.
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _remove_what_the_killed_left() -> None:
    for each in _MEMORY.glob(f"{_PREFIX}*"):
        pid = each.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            shutil.rmtree(each, ignore_errors=True)  # another process of tests may be faster
