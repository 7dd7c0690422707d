"""The table of a job's figures: what its events say in numbers, apart from its log."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from academy.store.base import Base


class FigureChunk(Base):
    """A run of a job's metrics, evaluations and checkpoints, compressed.

    The same events are in the archive, between thousands of log lines; here they can be read
    without those.
    """

    __tablename__ = "figure_chunks"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    first_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    #: The last archived event that was looked at, whether or not it was a figure.
    last_seq: Mapped[int] = mapped_column(BigInteger)
    count: Mapped[int]
    #: zlib over JSON lines, one event a line, in order.
    data: Mapped[bytes] = mapped_column(LargeBinary)
