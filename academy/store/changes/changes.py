"""Reading what changed, each row exactly once, and removing what is old.

A reader keeps a position (xid, id) and asks for the rows after it. Numbers are handed out before
their transactions commit, so a row with a smaller one may come to be seen later. Therefore a row is
shown only when every transaction that began to write before its own is over: what comes later then
has a larger xid. A transaction that writes for long, in any database of the server, holds back what
is shown for as long; Academy's end within the server's time-outs.
"""

from __future__ import annotations

from sqlalchemy import (
    ColumnElement,
    Tuple,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from academy.store.base import from_now
from academy.store.changes.tables import Change, RemovedChanges, Xid8

_DAY = 86400.0
#: Before every change.
BEGINNING = (0, 0)

#: Every transaction up to here is over.
_SETTLED: ColumnElement[bool] = Change.xid < func.pg_snapshot_xmin(
    func.pg_current_snapshot(), type_=Xid8
)
# What does not change is made once: making a statement costs more than asking it.
_AFTER = (
    select(Change)
    .where(
        tuple_(Change.xid, Change.id) > tuple_(bindparam("xid", type_=Xid8), bindparam("id")),
        _SETTLED,
    )
    .order_by(Change.xid, Change.id)
    .limit(bindparam("count"))
)
_NEWEST = (
    select(Change.xid, Change.id)
    .where(_SETTLED)
    .order_by(Change.xid.desc(), Change.id.desc())
    .limit(1)
)


def after(session: Session, xid: int, id: int, count: int) -> list[Change]:
    """The next changes after the position (`xid`, `id`), at most `count`, in their order.

    Asked again with the position of the last one it goes on from there, and leaves out none.
    """
    return list(session.scalars(_AFTER, {"xid": xid, "id": id, "count": count}))


def newest(session: Session) -> tuple[int, int]:
    """The position of the last change that `after` shows by now: where a reader of news begins."""
    found = session.execute(_NEWEST).first()
    return BEGINNING if found is None else (found.xid, found.id)


def oldest(session: Session) -> tuple[int, int]:
    """The position from which a reader misses nothing: that of the last row that was removed.

    `BEGINNING` if none was. A reader with an earlier position has missed what was removed.
    """
    mark = session.execute(select(RemovedChanges.xid, RemovedChanges.id)).one()
    return mark.xid, mark.id


def is_ahead(session: Session, xid: int) -> bool:
    """Whether no transaction of this server has had that number yet.

    So a position with it is another server's: the database was restored here meanwhile, and who
    read there has to begin anew.
    """
    known = func.pg_snapshot_xmax(func.pg_current_snapshot(), type_=Xid8)
    return bool(session.scalar(select(bindparam("xid", xid, type_=Xid8) >= known)))


def remove(
    session: Session,
    *,
    older_than_seconds: float,
    most: int,
    taken: tuple[int, int] | None = None,
) -> int:
    """Remove the oldest changes, at most `most`, if they are older; how many went.

    What comes after the position `taken` stays for another day: somebody has not read it yet. One
    keeper does it at a time, the others have nothing to do.
    """
    mark = session.scalars(
        select(RemovedChanges).with_for_update(skip_locked=True),
        execution_options={"populate_existing": True},
    ).one_or_none()
    if mark is None:
        return 0
    is_old = Change.at < from_now(-older_than_seconds)
    if taken is not None:
        was_read = tuple_(Change.xid, Change.id) <= _position("taken", *taken)
        is_old = and_(is_old, or_(was_read, Change.at < from_now(-older_than_seconds - _DAY)))
    first = session.execute(
        select(Change.xid, Change.id, is_old.label("is_old"))
        .where(_SETTLED)
        .order_by(Change.xid, Change.id)
        .limit(most)
    ).all()
    # Up to the first that stays: a look at the index's beginning, however many rows there are.
    kept = next((number for number, row in enumerate(first) if not row.is_old), len(first))
    if not kept:
        return 0
    last = first[kept - 1]
    up_to = _position("last", last.xid, last.id)
    session.execute(delete(Change).where(tuple_(Change.xid, Change.id) <= up_to))
    session.execute(update(RemovedChanges).values(xid=last.xid, id=last.id))
    return kept


def _position(name: str, xid: int, id: int) -> Tuple:
    return tuple_(bindparam(f"{name}_xid", xid, type_=Xid8), bindparam(f"{name}_id", id))
