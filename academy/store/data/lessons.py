"""Lessons and finished tasks: what the agent learned from its own work."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from sqlalchemy import delete, func, select, true
from sqlalchemy.orm import Session

from academy.errors import NotFound
from academy.store.data.recording import record_rows
from academy.store.data.tables import Lesson, Task
from academy.store.paging import newest_first

#: What does not change is made once: making a statement costs more than asking it.
_COUNT = select(func.count()).select_from(Lesson)


def add_lessons(
    session: Session, rows: Sequence[dict[str, Any]], made: Set[str] = frozenset()
) -> int:
    """Insert lessons; how many were new. Raises `RecordedDifferently`."""
    content = ("situation", "solution", "tags", "source", "quality")
    return record_rows(session, Lesson, rows, noun="lesson", content=content, made=made)


def add_tasks(
    session: Session, rows: Sequence[dict[str, Any]], made: Set[str] = frozenset()
) -> int:
    """Insert finished conversations; how many were new. Raises `RecordedDifferently`."""
    content = ("messages", "outcome", "tags")
    return record_rows(session, Task, rows, noun="task", content=content, made=made)


def delete_lesson(session: Session, lesson_id: str) -> None:
    """Delete a lesson; the datasets that were made with it stay. Raises `NotFound`."""
    _delete(session, Lesson, "lesson", lesson_id)


def delete_task(session: Session, task_id: str) -> None:
    """Delete a conversation; the datasets that were made with it stay. Raises `NotFound`."""
    _delete(session, Task, "task", task_id)


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
    return int(session.scalar(_COUNT) or 0)


def _delete(session: Session, table: type[Lesson] | type[Task], noun: str, id: str) -> None:
    if session.scalar(delete(table).where(table.id == id).returning(table.id)) is None:
        raise NotFound(noun=noun, id=id)
