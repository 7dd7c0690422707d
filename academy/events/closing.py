"""Bringing a job's events to their end: into the archive, with the terminal status last."""

from __future__ import annotations

import logging

import redis

from academy.errors import failure_body
from academy.events import archive, stream
from academy.events.event import Event, EventId, timestamp
from academy.store.engine import Sessions
from academy.store.jobs import jobs
from academy.store.jobs.tables import Job

log = logging.getLogger(__name__)

BATCH = 1000


def archive_stream(
    sessions: Sessions, client: redis.Redis, job_id: str, *, before_attempt: int | None = None
) -> EventId:
    """Copy what the stream has beyond the archive into it; the last archived id afterwards.

    With `before_attempt` only what attempts before that one left behind.
    """
    with sessions.begin() as session:
        last = archive.last_id(session, job_id, before_attempt)
        while batch := stream.read(client, job_id, last, BATCH):
            wanted = [
                event
                for event in batch
                if before_attempt is None or event.id.attempt < before_attempt
            ]
            archive.append(session, job_id, wanted)
            last = wanted[-1].id if wanted else last
            if len(wanted) < len(batch):
                break
    return last


def close_events(sessions: Sessions, client: redis.Redis, job_id: str) -> None:
    """Archive a finished job's events to the end, adding the terminal status if it is missing."""
    with sessions() as session:
        job = jobs.get(session, job_id)  # it is over, so nothing of it changes any more
    if job.attempt > 1:
        archive_stream(sessions, client, job_id, before_attempt=job.attempt)
    last = archive_stream(sessions, client, job_id)
    with sessions.begin() as session:
        end = archive.last_event(session, job_id)
        if end is None or not end.is_last:
            seq = last.seq + 1 if last.attempt >= job.attempt else 1
            end = Event(
                EventId(max(last.attempt, job.attempt), seq),
                "status",
                timestamp(),
                {"status": job.status, "failure": failure_of(job)},
            )
            archive.append(session, job_id, [end])
            stream.append(client, job_id, [end])
        jobs.close_events(session, job_id)


def try_to_close_events(sessions: Sessions, client: redis.Redis, job_id: str) -> None:
    """As `close_events`, for a job that nobody holds; with Redis away it is left to the keeper."""
    try:
        close_events(sessions, client, job_id)
    except redis.RedisError as error:
        log.warning(
            "The keeper will end the events of a cancelled job: %s",
            type(error).__name__,
            extra={"job_id": job_id},
        )


def failure_of(job: Job) -> dict[str, str] | None:
    """Why a job failed, as clients see it (`failure_body`); None if it did not."""
    if job.failure_code is None:
        return None
    return failure_body(job.failure_code, job.failure_message, job.failure_next_step)
