"""The archive of job events. Migrations make this table."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from academy.store.base import Base
from academy.store.jobs.tables import Job


class EventChunk(Base):
    """A run of a job's events, compressed: the archive behind the live stream.

    Either it has them itself, or it says where they lie in the job's `LogObject`.
    """

    __tablename__ = "event_chunks"
    __table_args__ = (
        CheckConstraint(
            "num_nulls(data, start, size) IN (1, 2) AND (start IS NULL) = (size IS NULL)",
            name="place",
        ),
        # What is to be moved, or may be once its job is over: few rows of many.
        Index(
            "event_chunks_movable_idx",
            "job_id",
            postgresql_where=text("data IS NOT NULL AND NOT stays AND last_seq > 200"),
        ),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    first_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    #: zlib over JSON lines, one event a line, in order.
    data: Mapped[bytes | None] = mapped_column(LargeBinary)
    #: Bytes of the log's lines in it, as UTF-8 and without what JSON adds.
    logged: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    #: The first byte of the run in the object, and how many there are: gzip over the same lines.
    start: Mapped[int | None] = mapped_column(BigInteger)
    size: Mapped[int | None]
    #: The end of a log of which the rest was moved, or removed.
    stays: Mapped[bool] = mapped_column(server_default=text("false"))


class LogObject(Base):
    """The artifact that has the events of a job that is over, but for the last ones."""

    __tablename__ = "log_objects"
    __table_args__ = (Index("log_objects_key_idx", "key"),)

    job_id: Mapped[str] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"), primary_key=True)
    key: Mapped[str]
    moved_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
