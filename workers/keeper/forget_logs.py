"""Keeping the archive as small as is wanted."""

from __future__ import annotations

import time

from academy.events import archive
from academy.store.events import chunks
from workers.keeper.duty import Context

#: The whole archive is looked through for it.
_EVERY_SECONDS = 600.0
#: Jobs of one sweep; while there are more, the next sweep goes on.
_AT_ONCE = 100


class ForgetLogs:
    """Removes the logs of jobs that were over longer ago than ``ACADEMY_LOG_DAYS``."""

    name = "forget_logs"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._again_at = 0.0

    def do(self) -> int:
        """How many logs were removed; 0 as well while it is not time again."""
        days, now = self._context.settings.events.log_days, time.monotonic()
        if not days or now < self._again_at:
            return 0
        with self._context.sessions() as session:
            job_ids = chunks.outlived(session, closed_before_seconds=days * 86400.0, most=_AT_ONCE)
        for job_id in job_ids:
            with self._context.sessions.begin() as session:
                archive.keep_only_the_end(session, job_id)
        if len(job_ids) < _AT_ONCE:
            self._again_at = now + _EVERY_SECONDS
        return len(job_ids)
