"""Sweeps and their trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from academy.errors import Conflict, NotFound
from academy.store.base import now
from academy.store.jobs import jobs
from academy.store.jobs.tables import Job
from academy.store.paging import newest_first
from academy.store.plans.sweep_tables import Sweep, SweepTrial


@dataclass(frozen=True)
class Trial:
    """A trial of a sweep with its job."""

    row: SweepTrial
    job: Job


def create(session: Session, **values: Any) -> Sweep:
    """A new running sweep."""
    sweep = Sweep(id=jobs.new_id("sweep"), status="running", **values)
    session.add(sweep)
    session.flush()
    return sweep


def get(session: Session, sweep_id: str) -> Sweep:
    """The sweep; raises `NotFound`."""
    sweep = session.get(Sweep, sweep_id, populate_existing=True)
    if sweep is None:
        raise NotFound(noun="sweep", id=sweep_id)
    return sweep


def lock(session: Session, sweep_id: str) -> Sweep:
    """The sweep, locked until the transaction ends; raises `NotFound`."""
    sweep = session.get(Sweep, sweep_id, with_for_update=True, populate_existing=True)
    if sweep is None:
        raise NotFound(noun="sweep", id=sweep_id)
    return sweep


def take_running(session: Session, skipping: Sequence[str]) -> Sweep | None:
    """A running sweep that nobody else deals with just now, locked; None if there is none."""
    return session.scalars(
        select(Sweep)
        .where(Sweep.status == "running", Sweep.id.not_in(skipping))
        .order_by(Sweep.created_at)
        .limit(1)
        .with_for_update(skip_locked=True),
        execution_options={"populate_existing": True},
    ).one_or_none()


def page(session: Session, *, limit: int, after: str | None = None) -> list[Sweep]:
    """Sweeps newest first, strictly after `after`; one more than `limit` if there is more."""
    return list(session.scalars(newest_first(session, Sweep, "sweep", limit=limit, after=after)))


def trials(session: Session, sweep_id: str) -> list[Trial]:
    """The trials that were begun, in order, with their jobs as they are now."""
    rows = session.execute(
        select(SweepTrial, Job)
        .join(Job, Job.id == SweepTrial.job_id)
        .where(SweepTrial.sweep_id == sweep_id)
        .order_by(SweepTrial.number),
        execution_options={"populate_existing": True},
    )
    return [Trial(row, job) for row, job in rows]


def add_trial(session: Session, **values: Any) -> None:
    """Record a trial; a number that is taken already is refused by the primary key."""
    session.execute(insert(SweepTrial).values(**values))


def stop_trial(session: Session, sweep_id: str, number: int, why: str) -> None:
    """Remember why a trial was cancelled by its sweep."""
    session.execute(
        update(SweepTrial)
        .where(SweepTrial.sweep_id == sweep_id, SweepTrial.number == number)
        .values(stopped_because=why)
    )


def end(session: Session, sweep_id: str, status: str, why: str) -> None:
    """Running to `status`, for good; raises `Conflict` for one that is over."""
    ended = session.scalar(
        update(Sweep)
        .where(Sweep.id == sweep_id, Sweep.status == "running")
        .values(status=status, ended_because=why, finished_at=now())
        .returning(Sweep.id),
        execution_options={"synchronize_session": False},
    )
    if ended is None:
        raise Conflict(detail=f"The sweep {sweep_id} is over already.")
