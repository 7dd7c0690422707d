"""The archive of job events. Migrations make this table."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    LargeBinary,
)
from sqlalchemy.orm import Mapped, mapped_column

from academy.store.base import Base
from academy.store.jobs.tables import Job


class EventChunk(Base):
    """A run of a job's events, compressed: the archive behind the live stream."""

    __tablename__ = "event_chunks"

    job_id: Mapped[str] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    first_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    #: zlib over JSON lines, one event a line, in order.
    data: Mapped[bytes] = mapped_column(LargeBinary)
