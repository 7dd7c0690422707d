"""Keeping Redis small: a stream goes once the archive has all of it."""

from __future__ import annotations

from academy.events import stream
from academy.store.jobs import jobs
from workers.keeper.duty import Context

#: Streams that Postgres is asked about in one query.
_AT_ONCE = 500


class DropStreams:
    """Deletes the live streams of jobs that were archived long enough ago."""

    name = "drop_streams"

    def __init__(self, context: Context) -> None:
        self._context = context

    def do(self) -> int:
        """How many streams were deleted."""
        dropped = 0
        redis, prefix = self._context.streams, stream.key_of("")
        names: list[str] = []
        for key in redis.scan_iter(match=f"{prefix}*", count=_AT_ONCE):
            names.append(key.decode().removeprefix(prefix))
        for start in range(0, len(names), _AT_ONCE):
            with self._context.sessions() as session:
                done = jobs.closed_streams(
                    session,
                    closed_before_seconds=self._context.settings.events.stream_grace_seconds,
                    job_ids=names[start : start + _AT_ONCE],
                )
            for job_id in done:
                redis.delete(stream.key_of(job_id))
                dropped += 1
        return dropped
