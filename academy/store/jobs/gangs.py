"""What the workers of one job of several hosts tell each other. The claim gave out the parts.

The leader is the worker that holds the job; its fence is that of the parts. A member renews the
lease on its part as the leader renews that on the job (`academy.store.jobs.leases`), and hears of a
cancel, a pause and the end of the attempt by the answer. A statement of a member whose attempt is
over changes nothing and raises `StaleFence`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Delete, and_, delete, literal, select, tuple_, update
from sqlalchemy.orm import Session

from academy.errors import StaleFence
from academy.lifecycle import HELD, MemberStatus, Status
from academy.store.base import from_now, now
from academy.store.jobs import slots
from academy.store.jobs.gang_tables import GangMember
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim


@dataclass(frozen=True)
class Part:
    """A worker's part in an attempt at a job: host number `place`, with these devices.

    `claim` is what its writes carry: the leader's job and fence, and the worker's own id.
    """

    claim: Claim
    place: int
    devices: tuple[str, ...]


def part_of(session: Session, worker_id: str) -> Part | None:
    """The part that a worker was given and has not ended; None if there is none."""
    row = session.execute(
        select(GangMember, Job.attempt)
        .join(Job, Job.id == GangMember.job_id)
        .where(_is_held_by(worker_id))
    ).first()
    return None if row is None else _part(*row)


def look(session: Session, queue: str, worker_id: str) -> tuple[bool, Part | None]:
    """Whether a job of several hosts waits, and the part that `part_of` tells, in one question."""
    waits, member, attempt = session.execute(
        select(slots.gangs_wait(queue), GangMember, Job.attempt)
        .select_from(select(literal(1)).subquery())
        .outerjoin(GangMember, _is_held_by(worker_id))
        .outerjoin(Job, Job.id == GangMember.job_id)
    ).one()
    return waits, None if member is None else _part(member, attempt)


def _is_held_by(worker_id: str) -> ColumnElement[bool]:
    return and_(GangMember.worker_id == worker_id, GangMember.lease_expires_at.is_not(None))


def _part(member: GangMember, attempt: int) -> Part:
    claim = Claim(member.job_id, member.fence, attempt, member.worker_id)
    return Part(claim, member.place, tuple(member.devices))


def renew(
    session: Session, held: Claim, lease_seconds: float, progress: dict[str, Any] | None = None
) -> Status:
    """Prolong the lease on a part; the job's status, as `leases.renew`. Raises `StaleFence`.

    A part has no `progress` of its own.
    """
    return _write(session, held, lease_expires_at=from_now(lease_seconds))


def status(session: Session, held: Claim) -> Status:
    """The status of the job, as `leases.status`; raises `StaleFence` if the part is over."""
    return _of_part(held, session.scalar(select(Job.status).where(_is_part(held), *_goes_on())))


def take_up(session: Session, held: Claim) -> None:
    """The member's files are there: it can begin as soon as the leader tells where to meet."""
    _write(session, held, status=MemberStatus.READY)


def ask_to_leave(session: Session, held: Claim) -> None:
    """The member is to drain; the leader stops everybody after a checkpoint."""
    _write(session, held, status=MemberStatus.LEAVING)


def told(session: Session, held: Claim) -> dict[str, Any] | None:
    """What the leader told, see `tell`; None before that. Raises `StaleFence`."""
    row = session.execute(
        select(Job.status, GangMember.told).where(_is_part(held), *_goes_on())
    ).first()
    _of_part(held, None if row is None else row.status)
    return None if row is None else row.told


def end(
    session: Session, held: Claim, status: MemberStatus, failure: dict[str, Any] | None = None
) -> None:
    """The member's part is over and its devices are free, whatever has become of the job."""
    session.execute(
        update(GangMember)
        .where(_is_part(held), GangMember.lease_expires_at.is_not(None))
        .values(status=status, failure=failure, lease_expires_at=None)
    )


def leave_all(session: Session, worker_id: str) -> None:
    """A worker that stops gives up the part that it may have been given this moment."""
    session.execute(
        update(GangMember)
        .where(GangMember.worker_id == worker_id, GangMember.lease_expires_at.is_not(None))
        .values(status=MemberStatus.LEFT, lease_expires_at=None)
    )


@dataclass(frozen=True)
class Member:
    """A member as its leader sees it. `is_silent`: its lease ran out, so it may be dead."""

    worker_id: str
    host: str
    status: MemberStatus
    is_silent: bool
    #: It carries out a job of its own, which it claimed in the moment in which it was invited.
    is_elsewhere: bool
    failure: dict[str, Any] | None


def members(session: Session, held: Claim) -> list[Member]:
    """The members of a job's attempt, by place."""
    elsewhere = (
        select(Job.id)
        .where(
            GangMember.status == MemberStatus.INVITED,
            Job.worker_id == GangMember.worker_id,
            Job.lease_expires_at.is_not(None),
        )
        .exists()
    )
    rows = session.execute(
        select(GangMember, GangMember.lease_expires_at < now(), elsewhere)
        .where(GangMember.job_id == held.job_id, GangMember.fence == held.fence)
        .order_by(GangMember.place)
    )
    return [
        Member(
            each.worker_id,
            each.host,
            MemberStatus(each.status),
            bool(is_silent),
            is_elsewhere,
            each.failure,
        )
        for each, is_silent, is_elsewhere in rows
    ]


def tell(session: Session, held: Claim, told: dict[str, Any]) -> None:
    """Tell the members where to meet (``rendezvous``) and what to go on from (``resume_from``)."""
    session.execute(
        update(GangMember)
        .where(GangMember.job_id == held.job_id, GangMember.fence == held.fence)
        .values(told=told)
    )


def reap(session: Session) -> int:
    """Take the parts away from workers that are silent, and forget those of attempts that ended.

    Returns how many were silent. Their leaders find the parts missing. A part that its worker is
    writing at this moment is left for the next time.
    """
    silent = session.execute(
        _deleting(GangMember.lease_expires_at < now()).returning(GangMember.place)
    ).all()
    goes_on = select(Job.id).where(*_is_held()).exists()
    session.execute(_deleting(GangMember.lease_expires_at.is_(None), ~goes_on))
    return len(silent)


def _deleting(*conditions: ColumnElement[bool]) -> Delete:
    """The DELETE of such parts that waits for no worker that stands still within a transaction."""
    key = (GangMember.job_id, GangMember.fence, GangMember.place)
    free = select(*key).where(*conditions).with_for_update(skip_locked=True)
    return delete(GangMember).where(tuple_(*key).in_(free))


def _write(session: Session, held: Claim, **values: Any) -> Status:
    found = session.scalar(
        update(GangMember).where(_is_part(held), *_goes_on()).values(**values).returning(Job.status)
    )
    return _of_part(held, found)


def _of_part(held: Claim, status: str | None) -> Status:
    if status is None:
        raise StaleFence(job_id=held.job_id, fence=held.fence)
    return Status(status)


def _is_part(held: Claim) -> ColumnElement[bool]:
    return and_(
        GangMember.job_id == held.job_id,
        GangMember.fence == held.fence,
        GangMember.worker_id == held.worker_id,
    )


def _goes_on() -> tuple[ColumnElement[bool], ...]:
    return (GangMember.lease_expires_at.is_not(None), *_is_held())


def _is_held() -> tuple[ColumnElement[bool], ...]:
    """The job is still held under the fence of the part."""
    return (
        Job.id == GangMember.job_id,
        Job.fence == GangMember.fence,
        Job.status.in_(HELD),
    )
