"""Bringing the events of jobs that are over to their end, where the owner could not."""

from __future__ import annotations

from academy.events.closing import close_events
from academy.store.jobs import jobs
from workers.keeper.duty import Context

#: A job's owner had so many seconds to close the events itself.
_AFTER_SECONDS = 30.0


class CloseEvents:
    """Writes the last event of each job that ended a while ago, and archives what is left."""

    name = "close_events"

    def __init__(self, context: Context) -> None:
        self._context = context

    def do(self) -> int:
        """Of how many jobs the events were closed."""
        after = min(_AFTER_SECONDS, self._context.settings.jobs.lease_seconds)
        with self._context.sessions() as session:
            ended = jobs.with_open_events(session, finished_before_seconds=after)
            ids = [job.id for job in ended]
        for job_id in ids:
            close_events(self._context.sessions, self._context.streams, job_id)
        return len(ids)
