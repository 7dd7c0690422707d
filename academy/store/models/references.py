"""Which artifacts somebody names: a registered row, or a job that still needs them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from academy.lifecycle import TERMINAL
from academy.store.base import from_now
from academy.store.data.tables import Dataset
from academy.store.events.tables import LogObject
from academy.store.jobs.tables import Job
from academy.store.models.tables import Adapter


def adapters(session: Session, keys: Collection[str], *, ended_within_seconds: float) -> set[str]:
    """Those of `keys` that a registered adapter names."""
    return set(session.scalars(select(Adapter.key).where(Adapter.key.in_(keys))))


def datasets(session: Session, keys: Collection[str], *, ended_within_seconds: float) -> set[str]:
    """Those of `keys` that a registered dataset names."""
    return set(session.scalars(select(Dataset.key).where(Dataset.key.in_(keys))))


def logs(session: Session, keys: Collection[str], *, ended_within_seconds: float) -> set[str]:
    """Those of `keys` that have the log of a job."""
    return set(session.scalars(select(LogObject.key).where(LogObject.key.in_(keys))))


def results(session: Session, keys: Collection[str], *, ended_within_seconds: float) -> set[str]:
    """Those notes of results (``results/JOB.json``) whose job may still be adopted."""
    alive = {
        job.id for job in _needed(session, {_job_of(key) for key in keys}, ended_within_seconds)
    }
    return {key for key in keys if _job_of(key) in alive}


def checkpoints(
    session: Session, keys: Collection[str], *, ended_within_seconds: float
) -> set[str]:
    """Those checkpoints (``checkpoints/JOB/DIGEST``) that their job may still resume from."""
    kept: set[str] = set()
    for job in _needed(session, {_job_of(key) for key in keys}, ended_within_seconds):
        kept.add(f"checkpoints/{job.id}")
        kept.update(each["key"] for each in (job.checkpoint or {}).get("kept", []))
    return kept


def _needed(session: Session, job_ids: Iterable[str], ended_within_seconds: float) -> list[Job]:
    return list(
        session.scalars(
            select(Job).where(
                Job.id.in_(list(job_ids)),
                or_(
                    Job.status.not_in(TERMINAL),
                    Job.finished_at > from_now(-ended_within_seconds),
                ),
            )
        )
    )


def _job_of(key: str) -> str:
    return PurePosixPath(key).parts[1].removesuffix(".json")
