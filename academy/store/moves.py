"""The statements of the transitions: a guarded UPDATE and its row of history in one.

What happens to every job is built once, since building a statement takes longer than running it.
Parameters must not be named like columns of the job, or SQLAlchemy would set those.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Executable,
    Exists,
    Select,
    Text,
    bindparam,
    cast,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.orm import aliased
from sqlalchemy.sql.schema import ScalarElementColumnDefault
from sqlalchemy.sql.selectable import ScalarSelect

from academy.lifecycle import Reason, Status
from academy.store import fair_share
from academy.store.base import Base, from_now, now, schema_revision
from academy.store.gang_tables import GangMember
from academy.store.tables import Hint, Job, JobTransition

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
        "to_status": literal(Status.QUEUED),
        "reason": literal(Reason.SUBMITTED),
        "fence": literal(0),
        "attempt": literal(0),
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
    moved, noted = _moved(expected, to, reason, detail, **values)
    return select(aliased(Job, moved)).add_cte(noted)


def _moving_own(
    expected: Collection[Status], to: Status, reason: Reason, **values: Any
) -> Select[str]:
    """As `moving`, for an owner, which knows its job: the id alone comes back."""
    moved, noted = _moved(expected, to, reason, None, **values)
    return select(moved.c.id).add_cte(noted)


def _moved(
    expected: Collection[Status],
    to: Status,
    reason: Reason,
    detail: dict[str, Any] | None,
    **values: Any,
) -> tuple[CTE, CTE]:
    job = _JOBS.c
    before = (
        select(job.id, job.status, job.worker_id)
        .where(job.id == bindparam("job_id"))
        .with_for_update(key_share=True)
        .cte("before")
    )
    moved = (
        update(_JOBS)
        .where(
            job.id == before.c.id,
            # Not IN, whose list SQLAlchemy writes anew each time.
            or_(*(before.c.status == each for each in sorted(expected))),
            job.fence == bindparam("job_fence"),
        )
        .values(status=to, **values)
        .returning(*job, before.c.status.label("before"), before.c.worker_id.label("holder"))
        .cte("moved")
    )
    return moved, _noted(moved, moved.c.before, moved.c.holder, to, reason, detail)


def _claiming(job_id: ScalarSelect[str]) -> Select[Job]:
    """The UPDATE of a claim and its row of history, as one statement."""
    revision = cast(bindparam("revision"), Text)
    devices = cast(bindparam("granted"), Job.devices.type)
    moved = (
        update(Job)
        .where(
            Job.id == job_id,
            Job.status == Status.QUEUED,
            or_(revision.is_(None), schema_revision() == revision),
            ~_has_part(),
        )
        .values(
            status=Status.PREPARING,
            fence=Job.fence + 1,
            attempt=Job.attempt + 1,
            worker_id=cast(bindparam("worker"), Text),
            lease_expires_at=from_now(bindparam("lease")),
            started_at=func.coalesce(Job.started_at, now()),
            # The first of them, as many as the job asks for; a CPU worker grants none.
            devices=func.trim_array(
                devices, func.greatest(func.cardinality(devices) - Job.gpus, 0)
            ),
        )
        .returning(Job)
        .cte("moved")
    )
    before = literal(Status.QUEUED, Text)
    noted = _noted(moved, before, null(), Status.PREPARING, Reason.CLAIMED, None)
    return select(aliased(Job, moved)).add_cte(noted)


def _has_part() -> Exists:
    """Whether the claimer has a part in a job of another worker, given to it this moment."""
    worker = cast(bindparam("worker"), Text)
    return exists().where(GangMember.worker_id == worker, GangMember.lease_expires_at.is_not(None))


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
        "to_status": literal(to),
        "reason": literal(reason),
        "fence": moved.c.fence,
        "attempt": moved.c.attempt,
        # A job that nobody holds any more was moved by, or taken from, its last owner.
        "worker_id": func.coalesce(moved.c.worker_id, holder),
        "detail": literal(detail, JobTransition.detail.type),
    }
    return insert(_HISTORY).from_select(list(history), select(*history.values())).cte("noted")


#: ``worker``, ``lease``, ``revision``, ``granted`` and `fair_share.parameters`.
CLAIM = _claiming(fair_share.best_job())
#: ``worker``, ``lease``, ``revision``, ``granted`` and ``wide_job_id``.
CLAIM_WIDE = _claiming(
    select(Job.id)
    .where(Job.id == bindparam("wide_job_id"))
    .with_for_update(skip_locked=True, key_share=True)
    .scalar_subquery()
)
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
