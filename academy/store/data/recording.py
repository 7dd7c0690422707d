"""Recording what clients send under an id: again is harmless, something else is refused."""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import lru_cache
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningInsert

from academy.errors import AcademyError, Unavailable
from academy.store.base import Base
from academy.store.data.tables import Lesson, Run, Task

#: How often somebody may delete what is being recorded.
_TRIES = 10


class RecordedDifferently(AcademyError):
    """The {noun} {id!r} is recorded already, with other content: {fields}."""

    code = "recorded_differently"
    status = 409
    next_step = (
        "Send it under an id of its own, or delete what is recorded first (a lesson or a task). "
        "Nothing of this request is recorded."
    )


def record_rows(
    session: Session,
    table: type[Lesson] | type[Task] | type[Run],
    rows: Sequence[dict[str, Any]],
    *,
    noun: str,
    content: Sequence[str],
    made: Set[str] = frozenset(),
) -> int:
    """Insert the rows whose ids are new; how many there were.

    Raises `RecordedDifferently` where an id that is known, or comes twice, stands for something
    else: for other values in the columns `content`. The transaction is then to be given up. Ids
    that were `made` of what the rows say stand for the same anyway.
    """
    added, left = 0, list(rows)
    for _ in range(_TRIES):
        if not left:
            return added
        new, left = _record(session, table, left, noun, content, made)
        added += new
    raise Unavailable(what=f"The {noun} {left[0]['id']!r}", why="others delete and record it")


def _record(
    session: Session,
    table: type[Lesson] | type[Task] | type[Run],
    rows: Sequence[dict[str, Any]],
    noun: str,
    content: Sequence[str],
    made: Set[str],
) -> tuple[int, list[dict[str, Any]]]:
    """How many of the rows were new, and those that somebody deleted between the two looks."""
    # Rows beside the statement and not in it: their number would make it another one to compile,
    # which takes seconds for thousands on a busy core, in the middle of a transaction.
    added = set(session.scalars(_recording(table), rows))
    first: dict[str, dict[str, Any]] = {}
    again = [row for row in rows if first.setdefault(row["id"], row) is not row]
    again += [row for id, row in first.items() if id not in added]
    again = [row for row in again if row["id"] not in made]
    return len(added), _compare(session, table, again, noun, content) if again else []


@lru_cache
def _recording(table: type[Lesson] | type[Task] | type[Run]) -> ReturningInsert[str]:
    # Of the plain table: the ORM would look at each row's fields, which nobody needs here.
    plain = Base.metadata.tables[table.__tablename__]
    return insert(plain).on_conflict_do_nothing().returning(plain.c.id)


def _compare(
    session: Session,
    table: type[Lesson] | type[Task] | type[Run],
    rows: Sequence[dict[str, Any]],
    noun: str,
    content: Sequence[str],
) -> list[dict[str, Any]]:
    columns = [getattr(table, name) for name in content]
    found = session.execute(
        select(table.id, *columns).where(table.id.in_({row["id"] for row in rows}))
    )
    stored = {id: dict(zip(content, values, strict=True)) for id, *values in found}
    for row in rows:
        known = stored.get(row["id"])
        if known is None:
            continue
        other = [name for name in content if _plain(name, known[name]) != _plain(name, row[name])]
        if other:
            raise RecordedDifferently(noun=noun, id=row["id"], fields=", ".join(other))
    return [row for row in rows if row["id"] not in stored]


def _plain(name: str, value: Any) -> Any:
    """A column's value without what means nothing: tags are a set."""
    return sorted(set(value)) if name == "tags" else value
