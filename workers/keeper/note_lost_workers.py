"""Noting which workers fell silent, so that others hear of it."""

from __future__ import annotations

import logging

from academy.store.jobs import leases, workers
from workers.keeper.duty import Context

log = logging.getLogger(__name__)


class NoteLostWorkers:
    """Notes the workers that were not heard of for a lease and did not say good-bye.

    As with leases, nobody is called lost until Postgres has been up, and has answered this keeper,
    for as long as two heart-beats may take.
    """

    name = "note_lost_workers"

    def __init__(self, context: Context) -> None:
        self._context = context

    def do(self) -> int:
        """How many workers were noted."""
        jobs = self._context.settings.jobs
        steady = self._context.steadiness.seconds()
        with self._context.sessions.begin() as session:
            uptime = leases.postgres_uptime_seconds(session)
            if min(uptime, steady) < 2 * jobs.heartbeat_seconds:
                return 0
            lost = workers.note_lost(session, silent_seconds=jobs.lease_seconds)
        if lost:
            log.warning("workers fell silent", extra={"workers": lost})
        return len(lost)
