"""Why a due time of a schedule submits nothing, though its submission would not be refused."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel

from academy.jobs.kinds import Kind
from academy.schedules.timing import Timing
from academy.settings import Settings
from academy.store.engine import Session
from academy.store.jobs import jobs
from academy.store.plans.schedule_tables import Schedule

#: no keeper ran in time; the last job is not over; there is nothing new to train on.
SkipCode = Literal["missed", "overlap", "nothing_new"]


@dataclass(frozen=True)
class Skip:
    """A published code, and a sentence that names what the time was skipped for."""

    code: SkipCode
    message: str

    def as_json(self) -> dict[str, Any]:
        """As the row keeps it and the API shows it."""
        return asdict(self)


def missed(row: Schedule, timing: Timing, now: datetime) -> Skip | None:
    """A skip if `missed` says so and no due time up to now is within the grace."""
    oldest = now - timedelta(seconds=row.grace_seconds)
    due = row.next_at
    if row.missed == "once" or due >= oldest or timing.after(oldest, due=due) <= now:
        return None
    return Skip("missed", f"No keeper ran within {row.grace_seconds:g} s of {due.isoformat()}.")


def overlap(session: Session, row: Schedule) -> Skip | None:
    """A skip if `overlap` says so and the last job that the schedule submitted is not over."""
    if row.overlap == "allow" or row.last_job_id is None:
        return None
    if jobs.is_over(session, row.last_job_id):
        return None
    return Skip("overlap", f"The schedule's last job {row.last_job_id} is not over.")


def nothing_new(
    session: Session, settings: Settings, row: Schedule, kind: Kind[Any], request: BaseModel
) -> Skip | None:
    """A skip if `only_if_new` says so and the job would only do again what was done.

    Raises what the submission would raise if what it needs is not there.
    """
    if not row.only_if_new or kind.nothing_new is None:
        return None
    why = kind.nothing_new(session, settings, request)
    return None if why is None else Skip("nothing_new", why)
