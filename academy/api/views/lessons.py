"""``/lessons`` and ``/tasks``: recording what the agent learned."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from academy.access import Role
from academy.api.guard import allows
from academy.api.lists import page_of
from academy.api.recording import record
from academy.api.shapes.lessons import (
    LessonSent,
    LessonsPage,
    LessonsQuery,
    LessonStatistics,
    Recorded,
    TaskSent,
)
from academy.api.state import state
from academy.store import lessons

blueprint = APIBlueprint("lessons", __name__, tag="Lessons")


@blueprint.post("/lessons")
@allows(Role.OPERATOR)
@blueprint.output(Recorded, status_code=201)
def record_lessons() -> Response:
    """Record one lesson (JSON) or many (NDJSON), all or none; sending them again is harmless."""
    return record(LessonSent, lessons.add_lessons, "lesson")


@blueprint.post("/tasks")
@allows(Role.OPERATOR)
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
    with state().sessions() as session:
        page = page_of(
            query,
            lambda limit, after: lessons.page(
                session, limit=limit, after=after, tag=query.tag, source=query.source
            ),
        )
    return page.answer(LessonsPage, "lessons")


@blueprint.get("/lessons/stats")
@allows(Role.VIEWER)
@blueprint.output(LessonStatistics)
def lesson_statistics() -> dict[str, Any]:
    """How many lessons there are, by source and tag, and conversations by outcome."""
    with state().sessions() as session:
        return lessons.statistics(session)
