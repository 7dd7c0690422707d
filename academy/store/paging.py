"""Pages by keyset: newest first, strictly after the last row that was seen."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

from sqlalchemy import Select, literal, select, tuple_
from sqlalchemy.orm import Session

from academy.errors import NotFound
from academy.store.data.tables import Dataset, Lesson, Run, Task
from academy.store.jobs.tables import Job
from academy.store.models.tables import Adapter
from academy.store.plans.sweep_tables import Sweep

Row = TypeVar("Row", Job, Dataset, Adapter, Lesson, Run, Sweep)
Record = TypeVar("Record", Lesson, Task, Run)


def older_than(
    session: Session, table: type[Record], last: Record | None, limit: int
) -> list[Record]:
    """Up to `limit` rows, newest first, strictly after the row `last` (None: from the newest on).

    Pages that are read one after the other in transactions of their own give each row once:
    what is inserted meanwhile is newer than what has been read.
    """
    query = select(table).order_by(table.created_at.desc(), table.id.desc()).limit(limit)
    if last is not None:
        # A row comparison is one range of the index on (created_at, id), read backwards.
        seen = tuple_(literal(last.created_at), literal(last.id))
        query = query.where(tuple_(table.created_at, table.id) < seen)
    return list(session.scalars(query))


@lru_cache(maxsize=128)
def _newest(table: type[Row], limit: int) -> Select[Row]:
    # Made once for the limits that are asked for: making a statement costs more than asking it.
    return select(table).order_by(table.created_at.desc(), table.id).limit(limit)


def newest_first(
    session: Session, table: type[Row], noun: str, *, limit: int, after: str | None
) -> Select[Row]:
    """A query for the rows after the one whose id is `after`, and one more than `limit`.

    The extra row tells that there is more. Raises `NotFound` if there is no row `after`.
    """
    query = _newest(table, limit + 1)
    if after is None:
        return query
    last = session.get(table, after)
    if last is None:
        raise NotFound(noun=noun, id=after)
    is_older = table.created_at < last.created_at
    return query.where(is_older | ((table.created_at == last.created_at) & (table.id > last.id)))
