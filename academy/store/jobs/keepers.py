"""Keepers that were seen, and when each last swept."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from academy.store.base import from_now, now
from academy.store.jobs.tables import Keeper

#: A keeper that was not heard of for so long is forgotten.
_FORGET_AFTER_SECONDS = 24 * 3600.0


def swept(
    session: Session, keeper_id: str, *, host: str, pid: int, interval_seconds: float
) -> None:
    """Note that a keeper has just swept; those that are long gone are forgotten."""
    session.execute(
        insert(Keeper)
        .values(id=keeper_id, host=host, pid=pid, interval_seconds=interval_seconds)
        .on_conflict_do_update(index_elements=[Keeper.id], set_={"swept_at": now()})
    )
    session.execute(delete(Keeper).where(Keeper.swept_at < from_now(-_FORGET_AFTER_SECONDS)))


def stopped(session: Session, keeper_id: str) -> None:
    """Forget a keeper that ended in good order."""
    session.execute(delete(Keeper).where(Keeper.id == keeper_id))


def every(session: Session) -> Sequence[tuple[Keeper, float]]:
    """The keepers that did not end in good order, the last to sweep first.

    Each with the seconds since its last sweep.
    """
    silent = func.extract("epoch", now() - Keeper.swept_at)
    found = session.execute(select(Keeper, silent).order_by(Keeper.swept_at.desc(), Keeper.id))
    return [(keeper, float(seconds)) for keeper, seconds in found]
