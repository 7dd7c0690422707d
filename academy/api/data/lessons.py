"""``/lessons`` and ``/tasks``: recording what the agent learned."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from academy.access.keys import Role
from academy.api.data.lessons_shapes import (
    Forgotten,
    LessonSent,
    LessonsPage,
    LessonsQuery,
    LessonStatistics,
    Recorded,
    TaskSent,
)
from academy.api.data.ndjson_bodies import record, takes_rows
from academy.store.data import lessons
from academy.web.paging import page_of
from academy.web.permissions import allows
from academy.web.state import state

blueprint = APIBlueprint("lessons", __name__, tag="Lessons")


@blueprint.post("/lessons")
@allows(Role.OPERATOR)
@takes_rows(LessonSent)
@blueprint.output(Recorded, status_code=201)
def record_lessons() -> Response:
    """Record one lesson (JSON) or many (NDJSON), all or none; sending them again is harmless."""
    return record(LessonSent, lessons.add_lessons, "lesson")


@blueprint.post("/tasks")
@allows(Role.OPERATOR)
@takes_rows(TaskSent)
@blueprint.output(Recorded, status_code=201)
def record_tasks() -> Response:
    """Record one finished conversation (JSON) or many (NDJSON), all or none."""
    return record(TaskSent, lessons.add_tasks, "conversation")


@blueprint.get("/lessons")
@allows(Role.VIEWER)
@blueprint.input(LessonsQuery, location="query", arg_name="query")
@blueprint.output(LessonsPage)
def list_lessons(query: LessonsQuery) -> Response:
    """The recorded lessons, newest first."""
    with state().reading() as session:
        page = page_of(
            query,
            lambda limit, after: lessons.page(
                session, limit=limit, after=after, tag=query.tag, source=query.source
            ),
        )
    return page.answer(LessonsPage, "lessons")


@blueprint.delete("/lessons/<lesson_id>")
@allows(Role.OPERATOR)
@blueprint.output(Forgotten)
def delete_lesson(lesson_id: str) -> dict[str, Any]:
    """Delete a lesson; the datasets that were made with it stay."""
    with state().sessions.begin() as session:
        lessons.delete_lesson(session, lesson_id)
    return {"message": f"Lesson {lesson_id!r} deleted", "id": lesson_id}


@blueprint.delete("/tasks/<task_id>")
@allows(Role.OPERATOR)
@blueprint.output(Forgotten)
def delete_task(task_id: str) -> dict[str, Any]:
    """Delete a conversation; the datasets that were made with it stay."""
    with state().sessions.begin() as session:
        lessons.delete_task(session, task_id)
    return {"message": f"Task {task_id!r} deleted", "id": task_id}


@blueprint.get("/lessons/stats")
@allows(Role.VIEWER)
@blueprint.output(LessonStatistics)
def lesson_statistics() -> dict[str, Any]:
    """How many lessons there are, by source and tag, and conversations by outcome."""
    with state().reading() as session:
        return lessons.statistics(session)
