"""The folder on this host in which one attempt trains."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from academy.host.filelock import FileLock, is_held

_LOCK = "lock"


@contextlib.contextmanager
def work_folder(home: Path, job_id: str, attempt: int) -> Iterator[Path]:
    """An empty folder ``HOME/work/JOB/ATTEMPT``, removed at the end.

    Several workers may share a home, so the attempt of a worker that stood still can lie beside
    that of the job's new owner. Neither may take the other's files away: each removes its own, and
    the leftovers of attempts whose worker is dead (the kernel released their lock).
    """
    job_folder = home / "work" / job_id
    folder = job_folder / str(attempt)
    _remove_leftovers(job_folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lock = FileLock(folder / _LOCK)
    lock.acquire()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        with contextlib.suppress(OSError):
            job_folder.rmdir()  # refused while another attempt lies there


def _remove_leftovers(job_folder: Path) -> None:
    for earlier in job_folder.glob("*"):
        if not is_held(earlier / _LOCK):
            shutil.rmtree(earlier, ignore_errors=True)
