"""Pages by keyset: newest first, strictly after the last row that was seen."""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from academy.errors import NotFound
from academy.store.tables import Adapter, Dataset, Job, Lesson, Run

Row = TypeVar("Row", Job, Dataset, Adapter, Lesson, Run)


def newest_first(
    session: Session, table: type[Row], noun: str, *, limit: int, after: str | None
) -> Select[Row]:
    """A query for the rows after the one whose id is `after`, and one more than `limit`.

    The extra row tells that there is more. Raises `NotFound` if there is no row `after`.
    """
    query = select(table).order_by(table.created_at.desc(), table.id).limit(limit + 1)
    if after is None:
        return query
    last = session.get(table, after)
    if last is None:
        raise NotFound(noun=noun, id=after)
    is_older = table.created_at < last.created_at
    return query.where(is_older | ((table.created_at == last.created_at) & (table.id > last.id)))
