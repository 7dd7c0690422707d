"""Schedules: what is sent to keep one, and what is shown of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from academy.api.jobs.jobs_shapes import Failure, KindName
from academy.schedules.request import NAME_PATTERN, Missed, Overlap, ScheduleRequest
from academy.schedules.skipping import SkipCode
from academy.store.plans.schedule_tables import Schedule
from academy.web.shapes import Done, Shown


class ScheduleWanted(ScheduleRequest):
    """A schedule to be made."""

    name: str = Field(pattern=NAME_PATTERN, description="its name, unique; lower case")


class SkipShown(Shown):
    """Why a time submitted nothing."""

    code: SkipCode
    message: str


class ScheduleShown(Shown):
    """A schedule and what came of its latest time."""

    name: str
    kind: KindName
    request: dict[str, Any]
    every: float | None = Field(description="interval in seconds")
    cron: str | None
    time_zone: str
    missed: Missed
    grace_seconds: float
    overlap: Overlap
    only_if_new: bool
    enabled: bool
    created_by: str | None
    next_at: datetime | None = Field(description="null while it is disabled")
    last_at: datetime | None = Field(description="when a keeper last dealt with it")
    last_outcome: Literal["submitted", "refused", "skipped"] | None
    last_job_id: str | None = Field(description="the latest job that it submitted")
    last_refusal: Failure | None = Field(description="why the latest submission was refused")
    last_skip: SkipShown | None = Field(description="why the latest time was skipped")
    submitted: int = Field(description="jobs that it submitted")
    refused: int = Field(description="times at which the submission was refused")
    skipped: int = Field(description="times that were skipped")
    created_at: datetime
    updated_at: datetime


class SchedulesPage(Shown):
    """A part of the schedules, by name."""

    count: int
    schedules: list[ScheduleShown]
    has_more: bool
    next: str | None


class ScheduleGone(Done):
    """A schedule that was deleted."""

    name: str


def schedule_body(row: Schedule) -> dict[str, Any]:
    """The fields of `ScheduleShown`."""
    names = set(ScheduleShown.model_fields) - {"every", "next_at"}
    body = {name: getattr(row, name) for name in names}
    next_at = row.next_at if row.enabled else None
    return body | {"every": row.every_seconds, "next_at": next_at}
