"""A dataset folder appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from academy.artifacts.manifest import write_manifest
from academy.curation.errors import DatasetNotWritten
from academy.curation.progress import Ticker
from academy.errors import Conflict


@dataclass(frozen=True)
class DatasetFolder:
    """The folder under work: `content` becomes the dataset, `scratch` is thrown away."""

    out: Path
    content: Path
    scratch: Path

    def publish(self, ticker: Ticker) -> str:
        """Write the manifest, flush everything to disk, rename into place; returns the digest.

        A cancel is heard until the rename.
        """
        digest = write_manifest(self.content, ticker.poll)
        ticker.check()
        os.rename(self.content, self.out)  # the same folder, so it is one step
        return digest


@contextmanager
def dataset_folder(out: Path, ticker: Ticker) -> Iterator[DatasetFolder]:
    """A private temporary folder next to `out`, removed again whatever happens.

    Raises `Conflict` if `out` exists, and `DatasetNotWritten` where the disk refuses.
    """
    if os.path.lexists(out):
        raise Conflict(detail=f"There is something at {out} already; a dataset never changes.")
    with writing(out, ticker):
        out.parent.mkdir(parents=True, exist_ok=True)
        base = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        folder = DatasetFolder(out, base / "content", base / "scratch")
        with writing(out, ticker):
            folder.content.mkdir()
            folder.scratch.mkdir()
        yield folder
    finally:
        shutil.rmtree(base, ignore_errors=True)


@contextmanager
def writing(out: Path, ticker: Ticker) -> Iterator[None]:
    """Turn what the disk says into `DatasetNotWritten`."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise DatasetNotWritten(path=str(out), rows_read=ticker.rows_read, why=why) from error
