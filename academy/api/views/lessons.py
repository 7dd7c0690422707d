"""``/lessons`` and ``/tasks``: recording what the agent learned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from apiflask import APIBlueprint
from flask import Response, request

from academy.access import Role
from academy.api.bodies import (
    MOST_ERRORS,
    NDJSON_TYPES,
    NotJson,
    body_of,
    ndjson_lines,
    parse,
    require_media_type,
    validate,
)
from academy.api.guard import allows
from academy.api.lists import page_of
from academy.api.once import Answer, once
from academy.api.shapes.lessons import (
    LessonSent,
    LessonsPage,
    LessonsQuery,
    LessonStatistics,
    Recorded,
    TaskSent,
)
from academy.api.state import state
from academy.errors import InvalidRequest
from academy.store import lessons
from academy.store.engine import Session

blueprint = APIBlueprint("lessons", __name__, tag="Lessons")

Sent = TypeVar("Sent", LessonSent, TaskSent)
#: PostgreSQL takes at most 65,535 values in one statement.
_ROWS_AT_ONCE = 2000


@blueprint.post("/lessons")
@allows(Role.OPERATOR)
@blueprint.output(Recorded, status_code=201)
def record_lessons() -> Response:
    """Record one lesson (JSON) or many (NDJSON), all or none; sending them again is harmless."""
    return _record(LessonSent, lessons.add_lessons, "lesson")


@blueprint.post("/tasks")
@allows(Role.OPERATOR)
@blueprint.output(Recorded, status_code=201)
def record_tasks() -> Response:
    """Record one finished conversation (JSON) or many (NDJSON), all or none."""
    return _record(TaskSent, lessons.add_tasks, "conversation")


@blueprint.get("/lessons")
@allows(Role.VIEWER)
@blueprint.input(LessonsQuery, location="query", arg_name="query")
@blueprint.output(LessonsPage)
def list_lessons(query: LessonsQuery) -> dict[str, Any]:
    """The recorded lessons, newest first."""
    with state().sessions() as session:
        page = page_of(
            query,
            lambda limit, after: lessons.page(
                session, limit=limit, after=after, tag=query.tag, source=query.source
            ),
        )
    return {
        "count": len(page.rows),
        "lessons": page.rows,
        "has_more": page.has_more,
        "next": page.next,
    }


@blueprint.get("/lessons/stats")
@allows(Role.VIEWER)
@blueprint.output(LessonStatistics)
def lesson_statistics() -> dict[str, Any]:
    """How many lessons there are, by source and tag, and conversations by outcome."""
    with state().sessions() as session:
        return lessons.statistics(session)


def _record(
    model: type[Sent], add: Callable[[Session, Sequence[dict[str, Any]]], int], noun: str
) -> Response:
    rows = [each.row() for each in _read(model)]

    def work(session: Session) -> Answer:
        added = sum(
            add(session, rows[start : start + _ROWS_AT_ONCE])
            for start in range(0, len(rows), _ROWS_AT_ONCE)
        )
        many = "" if added == 1 else "s"
        return Answer(
            {
                "success": True,
                "message": f"{added} {noun}{many} recorded, {len(rows) - added} known before",
                "received": len(rows),
                "added": added,
                "known": len(rows) - added,
                "ids": [row["id"] for row in rows],
            }
        )

    return once(work).response()


def _read(model: type[Sent]) -> list[Sent]:
    """The rows of the body. Every bad line of NDJSON is reported with its number."""
    require_media_type(request, "application/json", *NDJSON_TYPES)
    raw = body_of(request)
    if request.mimetype not in NDJSON_TYPES:
        return [validate(raw, parse(raw), model)]
    found: list[Sent] = []
    errors: list[dict[str, Any]] = []
    for number, line in ndjson_lines(raw):
        try:
            found.append(validate(line, parse(line), model))
        except (InvalidRequest, NotJson) as error:
            errors.extend({**each, "line": number} for each in error.errors)
            if len(errors) >= MOST_ERRORS:
                break
    if errors:
        first = errors[0]
        raise InvalidRequest(
            detail=f"Line {first['line']}: {first['detail']} Nothing was recorded.", errors=errors
        )
    if not found:
        raise InvalidRequest(detail="The body holds no line.")
    return found
