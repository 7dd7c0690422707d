"""The table of the workers that take part in another worker's job."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from academy.lifecycle import TAKING_PART, MemberStatus
from academy.store.base import Base
from academy.store.jobs.tables import Job


def _among(values: Any) -> str:
    return "(" + ", ".join(f"'{value}'" for value in sorted(values)) + ")"


class GangMember(Base):
    """A worker's part in one attempt at a job of several hosts that another worker leads."""

    __tablename__ = "gang_members"
    __table_args__ = (
        CheckConstraint(f"status IN {_among(MemberStatus)}", "status"),
        CheckConstraint(
            f"(status IN {_among(TAKING_PART)}) = (lease_expires_at IS NOT NULL)", "lease"
        ),
        CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", "failure"),
        CheckConstraint("place > 0", "place"),
        # One part at a time: a worker that has one takes no job and no other part.
        Index(
            "gang_members_worker_key",
            "worker_id",
            unique=True,
            postgresql_where=text("lease_expires_at IS NOT NULL"),
        ),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    #: The fence of the attempt; the part is over as soon as the job has another one.
    fence: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    #: The number of its host among those of the gang; the leader's is 0.
    place: Mapped[int] = mapped_column(primary_key=True)
    worker_id: Mapped[str]
    host: Mapped[str]
    #: Its GPUs by UUID; they are taken while it has a lease, as those of a job are.
    devices: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    status: Mapped[str]
    lease_expires_at: Mapped[datetime | None]
    #: What the leader tells once all are ready: ``rendezvous`` and ``resume_from``.
    told: Mapped[dict[str, Any] | None]
    #: ``code``, ``message`` and ``next_step``, as those of a failed job.
    failure: Mapped[dict[str, Any] | None]
