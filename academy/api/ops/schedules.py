"""``/schedules``: jobs that the keepers submit by the clock."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from academy.access.keys import Role
from academy.api.ops.schedules_shapes import (
    ScheduleGone,
    ScheduleShown,
    SchedulesPage,
    ScheduleWanted,
    schedule_body,
)
from academy.schedules import keeping
from academy.schedules.request import ScheduleRequest
from academy.store.engine import Session
from academy.store.plans import schedules
from academy.web.idempotency import Answer, creates, idempotent
from academy.web.paging import PageQuery, page_of
from academy.web.permissions import allows, principal
from academy.web.state import state

blueprint = APIBlueprint("schedules", __name__, tag="Schedules")


@blueprint.post("/schedules")
@allows(Role.OPERATOR)
@creates
@blueprint.input(ScheduleWanted, arg_name="wanted")
@blueprint.output(ScheduleShown, status_code=201)
def create_schedule(wanted: ScheduleWanted) -> Response:
    """Keep a schedule; the keepers submit its job whenever it is due."""
    kept = ScheduleRequest.model_construct(**_without_name(wanted))

    def work(session: Session) -> Answer:
        row = keeping.create(session, wanted.name, kept, principal().name)
        return Answer(
            ScheduleShown.model_validate(schedule_body(row)).model_dump(mode="json"),
            201,
            {"Location": f"/api/v1/academy/schedules/{row.name}"},
        )

    return idempotent(work).response()


@blueprint.get("/schedules")
@allows(Role.VIEWER)
@blueprint.input(PageQuery, location="query", arg_name="query")
@blueprint.output(SchedulesPage)
def list_schedules(query: PageQuery) -> Response:
    """The schedules by name, with what came of their latest times."""
    with state().reading() as session:
        page = page_of(
            query, lambda limit, after: schedules.page(session, limit=limit, after=after)
        )
    return page.answer(SchedulesPage, "schedules", schedule_body)


@blueprint.get("/schedules/<name>")
@allows(Role.VIEWER)
@blueprint.output(ScheduleShown)
def show_schedule(name: str) -> dict[str, Any]:
    """One schedule."""
    with state().reading() as session:
        return schedule_body(schedules.get(session, name))


@blueprint.put("/schedules/<name>")
@allows(Role.OPERATOR)
@blueprint.input(ScheduleRequest, arg_name="wanted")
@blueprint.output(ScheduleShown)
def replace_schedule(name: str, wanted: ScheduleRequest) -> dict[str, Any]:
    """Replace a schedule. Its next time stays if only what it submits changed."""
    with state().sessions.begin() as session:
        return schedule_body(keeping.replace(session, name, wanted, principal().name))


@blueprint.delete("/schedules/<name>")
@allows(Role.OPERATOR)
@blueprint.output(ScheduleGone)
def delete_schedule(name: str) -> dict[str, Any]:
    """Delete a schedule; the jobs that it submitted stay."""
    with state().sessions.begin() as session:
        schedules.remove(session, name)
    return {"success": True, "message": f"Schedule {name!r} deleted", "name": name}


def _without_name(wanted: ScheduleWanted) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in ScheduleRequest.model_fields}
