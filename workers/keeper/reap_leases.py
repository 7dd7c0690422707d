"""Taking jobs, and parts in jobs, away from workers whose lease ran out."""

from __future__ import annotations

import logging

from academy.store.jobs import gangs, leases, transitions
from workers.keeper.duty import Context

log = logging.getLogger(__name__)


class ReapLeases:
    """Ends the leases that ran out.

    After an outage of Postgres itself every lease looks dead. So nothing is reaped until Postgres
    has been up, and has answered this keeper, for as long as a renewal may take.
    """

    name = "reap_leases"

    def __init__(self, context: Context) -> None:
        self._context = context

    def do(self) -> int:
        """How many jobs were taken away."""
        settings = self._context.settings
        steady = self._context.steadiness.seconds()
        with self._context.sessions.begin() as session:
            uptime = leases.postgres_uptime_seconds(session)
            if min(uptime, steady) < 2 * settings.jobs.heartbeat_seconds:
                return 0
            reaped = transitions.reap(
                session,
                max_crashes=settings.jobs.max_crashes,
                retry_seconds=settings.jobs.retry_seconds,
            )
        if reaped:
            log.warning("leases ran out", extra={"jobs": reaped})
        with self._context.sessions.begin() as session:
            silent = gangs.reap(session)
        if silent:
            log.warning("parts in jobs of other workers ran out", extra={"parts": silent})
        return reaped
