"""Recording what clients send: one object as JSON or many as NDJSON, all or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from typing import Any, TypeVar

from flask import Response, request

from academy.api.data.lessons_shapes import LessonSent, TaskSent
from academy.api.data.runs_shapes import RunSent
from academy.errors import InvalidRequest
from academy.store.engine import Session
from academy.validation.reading import MOST_ERRORS, validate
from academy.web.declarations import View, reads_body
from academy.web.idempotency import Answer, creates, idempotent
from academy.web.offload import Breath
from academy.web.strict_json import (
    NDJSON_TYPES,
    NotJson,
    body_of,
    ndjson_lines,
    parse,
    require_media_type,
)

Sent = TypeVar("Sent", LessonSent, TaskSent, RunSent)
_TYPES = ("application/json", *sorted(NDJSON_TYPES))
#: So few that making a statement's values keeps nobody waiting.
_ROWS_AT_ONCE = 200


def takes_rows(model: type[Sent]) -> Callable[[View], View]:
    """The view takes one row as JSON or many as NDJSON, by `record`, and an ``Idempotency-Key``."""
    body = reads_body(dict.fromkeys(_TYPES, model))
    return lambda view: creates(body(view))


def record(
    model: type[Sent],
    add: Callable[[Session, Sequence[dict[str, Any]], Set[str]], int],
    noun: str,
) -> Response:
    """Record the rows of the body, `noun`s, by `add`, which returns how many were new; it is told
    which ids were made of the rows' content.
    """
    breath = Breath()
    rows, made = [], set()
    for each in _read(model, breath):
        rows.append(each.row())
        if each.id is None:
            made.add(rows[-1]["id"])
        breath()

    def work(session: Session) -> Answer:
        added = 0
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            added += add(session, rows[start : start + _ROWS_AT_ONCE], made)
            breath()
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

    # One row is one statement, and one that is refused has changed nothing.
    return idempotent(work, writes_once=len(rows) == 1).response()


def _read(model: type[Sent], breath: Breath) -> list[Sent]:
    """The rows of the body. Every bad line of NDJSON is reported with its number."""
    require_media_type(request, *_TYPES)
    raw = body_of(request)
    if request.mimetype not in NDJSON_TYPES:
        return [validate(raw, parse(raw), model)]
    found: list[Sent] = []
    errors: list[dict[str, Any]] = []
    for number, line in ndjson_lines(raw):
        breath()
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
