"""Making and changing schedules. Their times are those of PostgreSQL's clock."""

from __future__ import annotations

import re
from typing import Any

from academy.errors import InvalidRequest
from academy.jobs import kinds
from academy.schedules.request import NAME_PATTERN, ScheduleRequest
from academy.schedules.timing import Timing
from academy.store.engine import Session
from academy.store.models import dependents
from academy.store.plans import schedules
from academy.store.plans.schedule_tables import Schedule
from academy.validation.reading import read


def create(
    session: Session, name: str, wanted: ScheduleRequest, created_by: str | None
) -> Schedule:
    """Keep a new schedule. An interval begins now, so its first time is one interval away.

    Raises `Conflict` if there is one of that name, and `InvalidRequest`.
    """
    _require_name(name)
    wanted = _checked(wanted)
    dependents.hold(session, wanted.request)
    now = schedules.clock(session)
    next_at = wanted.timing.after(now, due=now)
    return schedules.create(
        session, name, **_columns(wanted), next_at=next_at, created_by=created_by
    )


def replace(
    session: Session, name: str, wanted: ScheduleRequest, created_by: str | None
) -> Schedule:
    """Change a schedule. Its next time stays if its timing does and it was enabled all along.

    Raises `NotFound`, and `InvalidRequest`.
    """
    wanted = _checked(wanted)
    dependents.hold(session, wanted.request)
    row = schedules.get(session, name, locked=True)
    values = _columns(wanted)
    if timing_of(row) != wanted.timing or not row.enabled:
        # What was due while it was disabled was not missed: nobody wanted it.
        now = schedules.clock(session)
        values["next_at"] = wanted.timing.after(now, due=now)
    return schedules.replace(session, row, **values, created_by=created_by)


def timing_of(row: Schedule) -> Timing:
    """When a schedule is due."""
    return Timing(row.every_seconds, row.cron, row.time_zone)


def _require_name(name: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name) or name.endswith("\n"):
        allowed = f"a text that matches {NAME_PATTERN}"
        errors = [{"pointer": "/name", "detail": f"name is {name!r}", "allowed": allowed}]
        raise InvalidRequest(detail=f"name is {name!r}: it must be {allowed}.", errors=errors)


def _checked(wanted: ScheduleRequest) -> ScheduleRequest:
    """The same with its request read as the job's POST reads its body; left-out fields stay out.

    Raises `InvalidRequest`, with pointers below ``/request``.
    """
    model = kinds.of(wanted.kind).request
    request = read(wanted.request, model, below="/request", where="In request")
    given = request.model_dump(mode="json", exclude_unset=True)
    return wanted.model_copy(update={"request": given})


def _columns(wanted: ScheduleRequest) -> dict[str, Any]:
    values = wanted.model_dump(mode="json", exclude={"every"})
    return values | {"every_seconds": wanted.every}
