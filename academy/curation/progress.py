"""Progress events, at most one per 500 rows or per second, and the check for a cancel."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from academy.curation.errors import CurationStopped

EVERY_ROWS = 500
EVERY_SECONDS = 1.0
#: `should_stop` may ask a database, so it is called at most this often while rows fly by.
STOP_CHECK_SECONDS = 0.2


@dataclass(frozen=True)
class Progress:
    """How far a curation is.

    `stage` is one of reading lessons, tasks, runs, uploads or git, deduplicating, writing;
    `total` counts this stage's rows where that is known, and so does `eta_seconds`.
    """

    stage: str
    rows_read: int
    rows_kept: int
    done: int
    total: int | None
    eta_seconds: float | None


class Ticker:
    """Counts rows, tells the listener now and then, and raises `CurationStopped` on a cancel."""

    def __init__(
        self, progress: Callable[[Progress], None], should_stop: Callable[[], bool]
    ) -> None:
        self.rows_read = 0
        self.rows_kept = 0
        self._progress = progress
        self._should_stop = should_stop
        self._stage = "starting"
        self._total: int | None = None
        self._done = 0
        self._stage_began = self._told = self._asked = time.monotonic()
        self._told_rows = 0

    def begin(self, stage: str, total: int | None = None) -> None:
        """Enter a stage and say so at once."""
        self._stage, self._total, self._done = stage, total, 0
        self._stage_began = time.monotonic()
        self.check()
        self._tell()

    def step(self, rows: int = 1) -> None:
        """Count work within the stage; tells and checks when it is time."""
        self._done += rows
        now = time.monotonic()
        if self._done - self._told_rows >= EVERY_ROWS or now - self._told >= EVERY_SECONDS:
            self._tell()
        if now - self._asked >= STOP_CHECK_SECONDS:
            self.check()

    def poll(self) -> None:
        """Check and tell without counting work, where rows are slow to come."""
        self.step(0)

    def check(self) -> None:
        """Raise `CurationStopped` if a cancel was asked for."""
        self._asked = time.monotonic()
        if self._should_stop():
            raise CurationStopped(rows_read=self.rows_read)

    def _tell(self) -> None:
        self._told, self._told_rows = time.monotonic(), self._done
        self._progress(
            Progress(
                stage=self._stage,
                rows_read=self.rows_read,
                rows_kept=self.rows_kept,
                done=self._done,
                total=self._total,
                eta_seconds=self._eta(),
            )
        )

    def _eta(self) -> float | None:
        if self._total is None or self._done == 0:
            return None
        spent = time.monotonic() - self._stage_began
        return round(spent / self._done * max(0, self._total - self._done), 1)
