"""Submitting the jobs of schedules when they are due, for each due time once.

The row is locked, the job inserted and the next time written in one transaction. So any number of
keepers, killed at any moment, submit one job for a due time, or none and try again.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from academy.errors import AcademyError, InvalidRequest, failure_body
from academy.jobs import kinds
from academy.schedules import skipping
from academy.schedules.keeping import timing_of
from academy.schedules.skipping import Skip
from academy.schedules.timing import NeverDue
from academy.settings import Settings
from academy.store.engine import Session, Sessions, StoreError
from academy.store.jobs.tables import Job
from academy.store.plans import schedules
from academy.store.plans.schedule_tables import Schedule
from academy.validation.reading import read

log = logging.getLogger(__name__)

#: A keeper turns to its other duties after so many.
_MOST_AT_ONCE = 100


def fire_due(sessions: Sessions, settings: Settings) -> int:
    """Submit the jobs of all schedules that are due; how many were submitted.

    A schedule that a fault of the database kept from being settled is tried again in the next
    sweep, and keeps no other from its turn.
    """
    submitted = 0
    failed: list[str] = []
    for _ in range(_MOST_AT_ONCE):
        name = None
        try:
            with sessions.begin() as session:
                row = schedules.take_due(session, skipping=failed)
                if row is None:
                    break
                name = row.name
                is_submitted = _settle(session, settings, row)
        except StoreError:
            if name is None:
                raise
            failed.append(name)
            log.exception("a schedule could not be settled", extra={"schedule": name})
        else:
            submitted += is_submitted
    return submitted


def _settle(session: Session, settings: Settings, row: Schedule) -> bool:
    """Deal with the due time of a locked schedule; whether a job was submitted for it."""
    now, due = schedules.clock(session), row.next_at
    try:
        timing = timing_of(row)
        missed = skipping.missed(row, timing, now)
        next_at = timing.after(max(now, due), due=due)
    except (NeverDue, KeyError) as error:
        # The zone left the data base, or no such day comes again: it would stay due for ever.
        why = _refusal(error)
        _record(session, row, due, "refused", enabled=False, last_refusal=why)
        log.error("a schedule was disabled: %s", why["message"], extra={"schedule": row.name})
        return False
    try:
        # A refused submission leaves nothing of itself behind, and the schedule goes on.
        with session.begin_nested():
            came = missed or _submit_or_skip(session, settings, row)
    except StoreError:
        raise
    except Exception as error:
        why = _refusal(error)
        log.warning(
            "a scheduled submission was refused: %s",
            why["message"],
            extra={"schedule": row.name},
            exc_info=not isinstance(error, AcademyError),
        )
        _record(session, row, due, "refused", next_at=next_at, last_refusal=why)
        return False
    if isinstance(came, Skip):
        _record(session, row, due, "skipped", next_at=next_at, last_skip=came.as_json())
        log.info("a scheduled time was skipped: %s", came.message, extra={"schedule": row.name})
        return False
    _record(session, row, due, "submitted", next_at=next_at, last_job_id=came.id)
    log.info("a scheduled job was submitted", extra={"schedule": row.name, "job_id": came.id})
    return True


def _record(session: Session, row: Schedule, due: datetime, outcome: str, **values: Any) -> None:
    """Settle the time and count its outcome; the reason of an earlier one does not outlive it."""
    given = {"last_refusal": None, "last_skip": None, outcome: getattr(row, outcome) + 1, **values}
    schedules.settle(session, row, due, last_outcome=outcome, **given)


def _submit_or_skip(session: Session, settings: Settings, row: Schedule) -> Job | Skip:
    still_busy = skipping.overlap(session, row)
    if still_busy is not None:
        return still_busy
    kind = kinds.of(row.kind)
    try:
        # As the API reads it; a later version may refuse what was kept by an earlier one.
        request = read(row.request, kind.request)
    except InvalidRequest as error:
        raise InvalidRequest(detail=f"The schedule's request is refused: {error}") from error
    skip = skipping.nothing_new(session, settings, row, kind, request)
    return skip or kind.submit(session, settings, request, row.created_by)


def _refusal(error: Exception) -> dict[str, str]:
    if isinstance(error, AcademyError):
        return error.failure()
    return failure_body(
        AcademyError.code,
        f"{type(error).__name__}: {error}",
        "This is a fault of Academy's own; the keeper's log has the details.",
    )
