"""Schedules: keeping them, and taking the one that is due so that no other keeper does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from academy.errors import Conflict, NotFound
from academy.lifecycle import JobKind
from academy.store.base import now
from academy.store.plans.schedule_tables import Schedule


def clock(session: Session) -> datetime:
    """The time by PostgreSQL's clock, in UTC; schedules know no other."""
    return session.execute(select(now())).scalar_one()


def create(session: Session, name: str, **values: Any) -> Schedule:
    """A new schedule. Raises `Conflict` if there is one of that name."""
    made = session.scalars(
        insert(Schedule)
        .values(name=name, **values)
        .on_conflict_do_nothing(index_elements=[Schedule.name])
        .returning(Schedule)
    ).one_or_none()
    if made is None:
        raise Conflict(detail=f"There is a schedule {name!r} already; PUT replaces it.")
    return made


def get(session: Session, name: str, *, locked: bool = False) -> Schedule:
    """The schedule; with `locked`, no keeper deals with it meanwhile. Raises `NotFound`."""
    found = session.get(Schedule, name, with_for_update=locked or None, populate_existing=True)
    if found is None:
        raise NotFound(noun="schedule", id=name)
    return found


def page(session: Session, *, limit: int, after: str | None) -> list[Schedule]:
    """Schedules by name, strictly after the name `after`; one more than `limit` if there is."""
    query = select(Schedule).order_by(Schedule.name).limit(limit + 1)
    if after is not None:
        query = query.where(Schedule.name > after)
    return list(session.scalars(query))


def replace(session: Session, schedule: Schedule, **values: Any) -> Schedule:
    """Change a schedule that `get` has locked."""
    return session.scalars(
        update(Schedule)
        .where(Schedule.name == schedule.name)
        .values(**values, updated_at=now())
        .returning(Schedule),
        execution_options={"populate_existing": True},
    ).one()


def remove(session: Session, name: str) -> None:
    """Delete a schedule; its jobs stay. Raises `NotFound`."""
    if session.scalar(delete(Schedule).where(Schedule.name == name).returning(Schedule.name)):
        return
    raise NotFound(noun="schedule", id=name)


def take_due(session: Session, *, skipping: Sequence[str] = ()) -> Schedule | None:
    """The longest due schedule, locked until the transaction ends; None if there is none.

    Those that another keeper has locked are skipped: that keeper deals with them. So are those of
    a kind of job that only a newer version knows, whose keepers submit them.
    """
    return session.scalars(
        select(Schedule)
        .where(
            Schedule.enabled,
            Schedule.next_at <= now(),
            Schedule.kind.in_(tuple(JobKind)),
            Schedule.name.not_in(skipping),
        )
        .order_by(Schedule.next_at)
        .limit(1)
        .with_for_update(skip_locked=True),
        execution_options={"populate_existing": True},
    ).one_or_none()


def settle(session: Session, schedule: Schedule, due: datetime, **values: Any) -> None:
    """Record what came of the time `due`; raises `Conflict` if somebody else already did."""
    settled = session.scalar(
        update(Schedule)
        .where(Schedule.name == schedule.name, Schedule.enabled, Schedule.next_at == due)
        .values(last_at=now(), **values)
        .returning(Schedule.name),
        execution_options={"synchronize_session": False},
    )
    if settled is None:
        raise Conflict(detail=f"The schedule {schedule.name!r} was dealt with by another keeper.")
