"""Lessons and finished tasks: what the agent learned from its own work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, true
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from academy.store.data.tables import Lesson, Task
from academy.store.paging import newest_first


def add_lessons(session: Session, rows: Sequence[dict[str, Any]]) -> int:
    """Insert lessons; one whose id is known stays as it is. Returns how many were new."""
    return _add(session, Lesson, rows)


def add_tasks(session: Session, rows: Sequence[dict[str, Any]]) -> int:
    """Insert finished conversations; one whose id is known stays. Returns how many were new."""
    return _add(session, Task, rows)


def page(
    session: Session,
    *,
    limit: int,
    after: str | None = None,
    tag: str | None = None,
    source: str | None = None,
) -> list[Lesson]:
    """Lessons newest first, strictly after the lesson `after`; one more than `limit` if any."""
    query = newest_first(session, Lesson, "lesson", limit=limit, after=after)
    if tag is not None:
        query = query.where(Lesson.tags.contains([tag]))
    if source is not None:
        query = query.where(Lesson.source == source)
    return list(session.scalars(query))


def statistics(session: Session) -> dict[str, Any]:
    """Counts of lessons in all, by source and by tag, and of tasks by outcome."""
    tag = func.jsonb_array_elements_text(Lesson.tags).table_valued("value")
    return {
        "total_lessons": count(session),
        "by_source": dict(
            session.execute(
                select(func.coalesce(Lesson.source, ""), func.count()).group_by(Lesson.source)
            ).all()
        ),
        "by_tag": dict(
            session.execute(
                select(tag.c.value, func.count())
                .select_from(Lesson)
                .join(tag, onclause=true())
                .group_by(tag.c.value)
                .order_by(func.count().desc())
                .limit(100)
            ).all()
        ),
        "tasks": dict(
            session.execute(select(Task.outcome, func.count()).group_by(Task.outcome)).all()
        ),
    }


def count(session: Session) -> int:
    """How many lessons there are."""
    return int(session.scalar(select(func.count()).select_from(Lesson)) or 0)


def _add(session: Session, table: type[Lesson] | type[Task], rows: Sequence[dict[str, Any]]) -> int:
    if not rows:
        return 0
    # Rows beside the statement and not in it: their number would make it another one to compile,
    # which takes seconds for thousands on a busy core, in the middle of a transaction.
    added = session.execute(insert(table).on_conflict_do_nothing().returning(table.id), list(rows))
    return len(added.all())
