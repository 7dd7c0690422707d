"""What the owner of a job writes while it holds it. Every statement carries the fence."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from academy.errors import StaleFence
from academy.lifecycle import HELD, Status
from academy.store.base import from_now
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim


def renew(
    session: Session, held: Claim, lease_seconds: float, progress: dict[str, Any] | None = None
) -> Status:
    """Prolong the lease and store the latest progress; the answer carries cancel and pause.

    Returns the job's status: ``cancelling`` and ``pausing`` ask the owner to stop. Raises
    `StaleFence` if somebody else has the job by now.
    """
    values: dict[str, Any] = {"lease_expires_at": from_now(lease_seconds)}
    if progress is not None:
        values["progress"] = progress
    return Status(_write(session, held, **values))


def status(session: Session, held: Claim) -> Status:
    """The status of the held job, without prolonging the lease; raises `StaleFence`."""
    found = session.scalar(
        select(Job.status).where(
            Job.id == held.job_id, Job.fence == held.fence, Job.status.in_(HELD)
        )
    )
    if found is None:
        raise StaleFence(job_id=held.job_id, fence=held.fence)
    return Status(found)


def record_checkpoint(session: Session, held: Claim, checkpoint: dict[str, Any]) -> None:
    """A verified checkpoint (``step``, ``key``, ``digest``) is in the store: progress was made."""
    _write(session, held, checkpoint=checkpoint, crashes=0)


def fences(session: Session, job_ids: Collection[str]) -> dict[str, int | None]:
    """The fence under which each of the jobs is held now; None for one that nobody holds.

    Jobs that there are not are missing from the answer.
    """
    found = session.execute(select(Job.id, Job.fence, Job.status).where(Job.id.in_(job_ids)))
    return {job_id: fence if status in HELD else None for job_id, fence, status in found}


def postgres_uptime_seconds(session: Session) -> float:
    """How long the server has been up, by its own clock."""
    age = text("extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())")
    return float(session.scalar(select(age)) or 0.0)


def _write(session: Session, held: Claim, **values: Any) -> str:
    status = session.scalar(
        update(Job)
        .where(Job.id == held.job_id, Job.fence == held.fence, Job.status.in_(HELD))
        .values(**values)
        .returning(Job.status)
    )
    if status is None:
        raise StaleFence(job_id=held.job_id, fence=held.fence)
    return str(status)
