"""The weights of shares, and who has how much of the workers just now."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from academy.lifecycle import HELD, Status
from academy.store.jobs.tables import Job, Share


@dataclass(frozen=True)
class ShareNow:
    """A share: its weight (1 unless set), its jobs that run, and those that wait."""

    name: str
    weight: float
    running: int
    queued: int


def overview(session: Session) -> list[ShareNow]:
    """Every share that has a weight, or jobs that run or wait; by name."""
    weights = {row.name: row.weight for row in session.scalars(select(Share))}
    counts: dict[tuple[str, bool], int] = {}
    rows = session.execute(
        select(Job.share, Job.status, func.count())
        .where(Job.status.in_([*HELD, Status.QUEUED]))
        .group_by(Job.share, Job.status)
    )
    for name, status, count in rows:
        key = (name, status == Status.QUEUED)
        counts[key] = counts.get(key, 0) + count
    names = sorted(set(weights) | {name for name, _ in counts})
    return [
        ShareNow(
            name, weights.get(name, 1.0), counts.get((name, False), 0), counts.get((name, True), 0)
        )
        for name in names
    ]


def set_weight(session: Session, name: str, weight: float) -> None:
    """Give a share, such as ``role:coder`` or ``key:ci``, a weight for all later claims."""
    session.execute(
        insert(Share)
        .values(name=name, weight=weight)
        .on_conflict_do_update(index_elements=[Share.name], set_={"weight": weight})
    )
