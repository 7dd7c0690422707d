"""The statements of the transitions: a guarded UPDATE and its row of history in one.

What happens to every job is built once, since building a statement takes longer than running it.
Parameters must not be named like columns of the job, or SQLAlchemy would set those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    BindParameter,
    Column,
    ColumnElement,
    Executable,
    Select,
    Text,
    bindparam,
    func,
    insert,
    literal,
    literal_column,
    null,
    select,
    text,
    update,
)
from sqlalchemy.orm import aliased
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from academy.lifecycle import Reason, Status
from academy.store.base import Base, now
from academy.store.jobs import fair_share
from academy.store.jobs.tables import Hint, Job, JobTransition

#: What gives a job back: nobody holds it any more.
RELEASED: dict[str, Any] = {"worker_id": None, "lease_expires_at": None}
#: Inserting into a table takes half as long as inserting a mapped class.
_JOBS, _HISTORY, _HINTS = (
    Base.metadata.tables[each.__tablename__] for each in (Job, JobTransition, Hint)
)
_DEFAULTS: dict[str, Any] = {
    column.name: column.default.arg
    for column in _JOBS.columns
    if isinstance(column.default, ScalarElementColumnDefault)
}
#: Before the names of columns in parameters.
_NEW = "new_"


def submitting(job: Job) -> tuple[Executable, dict[str, Any]]:
    """The INSERT of a new job, of its first row of history and of its hint, and its parameters."""
    # SQLAlchemy fills defaults in only where a statement has no others within.
    given = _DEFAULTS | {k: v for k, v in vars(job).items() if k in _JOBS.columns}
    return _submission(frozenset(given)), {_NEW + name: value for name, value in given.items()}


@lru_cache(maxsize=64)
def _submission(given: frozenset[str]) -> Executable:
    """The statement of `submitting` for jobs of which these columns are given."""

    def parameter(name: str) -> BindParameter[Any]:
        return bindparam(_NEW + name, type_=_JOBS.columns[name].type)

    history = {
        "to_status": _constant(Status.QUEUED),
        "reason": _constant(Reason.SUBMITTED),
        "fence": literal_column("0"),
        "attempt": literal_column("0"),
    }
    return (
        insert(_JOBS)
        .values({name: parameter(name) for name in sorted(given)})
        .add_cte(insert(_HISTORY).values(job_id=parameter("id"), **history).cte("noted"))
        .add_cte(
            insert(_HINTS).values(job_id=parameter("id"), queue=parameter("queue")).cte("hint")
        )
    )


def moving(
    expected: Collection[Status],
    to: Status,
    reason: Reason,
    detail: dict[str, Any] | None = None,
    **values: Any,
) -> Select[Job]:
    """The guarded UPDATE behind every transition, and its row of history, as one statement.

    It takes ``job_id`` and ``job_fence`` and returns the moved job, or nothing to a stale caller.
    """
    moved, noted = _moved(_JOBS.columns, expected, to, reason, detail, values)
    return select(aliased(Job, moved)).add_cte(noted)


def _moving_own(
    expected: Collection[Status], to: Status, reason: Reason, **values: Any
) -> Select[str]:
    """As `moving`, for an owner, which knows its job: the id alone comes back."""
    job = _JOBS.columns
    known = (job.id, job.fence, job.attempt, job.worker_id)
    moved, noted = _moved(known, expected, to, reason, None, values)
    return select(moved.c.id).add_cte(noted)


def _moved(
    returned: Iterable[Column[Any]],
    expected: Collection[Status],
    to: Status,
    reason: Reason,
    detail: dict[str, Any] | None,
    values: dict[str, Any],
) -> tuple[CTE, CTE]:
    job = _JOBS.c
    # No lock in a first part of the statement: it would be taken on the row's newest version, while
    # the UPDATE begins with the one of its snapshot, and a cancel could wait in between the two.
    moved = (
        update(_JOBS)
        .where(
            job.id == bindparam("job_id"),
            job.fence == bindparam("job_fence"),
            job.status.in_([_constant(each) for each in sorted(expected)]),
        )
        .values(status=_constant(to), **values)
        .returning(*returned, _old("status").label("before"), _old("worker_id").label("holder"))
        .cte("moved")
    )
    return moved, _noted(moved, moved.c.before, moved.c.holder, to, reason, detail)


#: The UPDATE of a claim. It gives out the first of the granted devices, as many as the job asks
#: for; a CPU worker grants none. A worker that was given a part in another job claims nothing.
_CLAIM_SQL = """
UPDATE jobs SET status = 'preparing', fence = fence + 1, attempt = attempt + 1, worker_id = :worker,
    lease_expires_at = clock_timestamp() + :lease * interval '1 second',
    started_at = coalesce(started_at, clock_timestamp()),
    devices = trim_array(granted, greatest(cardinality(granted) - gpus, 0))
FROM (SELECT cast(:granted AS text[]) AS granted, cast(:revision AS text) AS revision) AS given
WHERE id = ({job_id}) AND status = 'queued'
    AND (revision IS NULL OR (SELECT version_num FROM alembic_version) = revision)
    AND NOT EXISTS (
        SELECT FROM gang_members AS part
        WHERE part.worker_id = :worker AND part.lease_expires_at IS NOT NULL
    )
RETURNING jobs.*
"""


def _claiming(job_id: str) -> Select[Job]:
    """The UPDATE of a claim and its row of history, as one statement; `job_id` is SQL."""
    # Short, since psycopg analyses a statement of over 4,096 characters anew each time.
    sql = " ".join(_CLAIM_SQL.format(job_id=job_id).split())
    moved = text(sql).columns(*_JOBS.columns).cte("moved")
    before = _constant(Status.QUEUED)
    noted = _noted(moved, before, null(), Status.PREPARING, Reason.CLAIMED, None)
    return select(aliased(Job, moved)).add_cte(noted)


def _noted(
    moved: CTE,
    before: ColumnElement[Any],
    holder: ColumnElement[Any],
    to: Status,
    reason: Reason,
    detail: dict[str, Any] | None,
) -> CTE:
    """The row of history of a moved job."""
    history: dict[str, ColumnElement[Any]] = {
        "job_id": moved.c.id,
        "from_status": before,
        "to_status": _constant(to),
        "reason": _constant(reason),
        "fence": moved.c.fence,
        "attempt": moved.c.attempt,
        # A job that nobody holds any more was moved by, or taken from, its last owner.
        "worker_id": func.coalesce(moved.c.worker_id, holder),
        "detail": null() if detail is None else literal(detail, JobTransition.detail.type),
    }
    return insert(_HISTORY).from_select(list(history), select(*history.values())).cte("noted")


def _old(name: str) -> ColumnElement[str]:
    """A column of the row as it was before the UPDATE (PostgreSQL 18)."""
    return literal_column(f"old.{name}", Text)


def _constant(value: StrEnum) -> ColumnElement[str]:
    """A word of our own, spelled out: a parameter would be sent and adapted each time."""
    return literal_column(f"'{value}'", Text)


#: ``worker``, ``lease``, ``revision``, ``granted`` and `fair_share.parameters`.
CLAIM = _claiming(fair_share.SQL)
#: ``worker``, ``lease``, ``revision``, ``granted`` and ``wide_job_id``.
CLAIM_WIDE = _claiming("SELECT id FROM jobs WHERE id = :wide_job_id FOR NO KEY UPDATE SKIP LOCKED")
#: ``job_id``, ``job_fence``; so is `FINISH`, with ``result``.
START = _moving_own({Status.PREPARING}, Status.RUNNING, Reason.STARTED)
FINISH = _moving_own(
    {Status.PREPARING, Status.RUNNING, Status.PAUSING},
    Status.FINISHED,
    Reason.COMPLETED,
    result=bindparam("result", type_=Job.result.type),
    finished_at=now(),
    **RELEASED,
)
