"""The table of schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from academy.store.base import Base


class Schedule(Base):
    """A job that the keepers submit by the clock of PostgreSQL."""

    __tablename__ = "schedules"
    __table_args__ = (
        CheckConstraint("(every_seconds IS NULL) <> (cron IS NULL)", "timing"),
        CheckConstraint("every_seconds >= 1", "every_seconds"),
        CheckConstraint("missed IN ('skip', 'once')", "missed"),
        CheckConstraint("overlap IN ('allow', 'skip')", "overlap"),
        CheckConstraint("last_outcome IN ('submitted', 'refused', 'skipped')", "last_outcome"),
        # The keepers' sweep reads what is due from here, and nothing else.
        Index("schedules_due_idx", "next_at", postgresql_where=text("enabled")),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    #: What the job's POST would be sent; fields that were left out keep their defaults.
    request: Mapped[dict[str, Any]]
    every_seconds: Mapped[float | None]
    cron: Mapped[str | None]
    time_zone: Mapped[str]
    #: ``once`` or ``skip``: what becomes of times at which no keeper ran.
    missed: Mapped[str]
    grace_seconds: Mapped[float]
    #: ``allow`` or ``skip``: what becomes of a time at which the last job is not over.
    overlap: Mapped[str] = mapped_column(server_default=text("'allow'"))
    #: Whether a training is submitted only for a dataset that was not trained on.
    only_if_new: Mapped[bool] = mapped_column(server_default=text("false"))
    enabled: Mapped[bool]
    #: Whose key its jobs are submitted for.
    created_by: Mapped[str | None]
    #: The next due time. It only moves forward while the timing stays.
    next_at: Mapped[datetime]
    #: The latest time at which a keeper dealt with it, and what came of it.
    last_at: Mapped[datetime | None]
    last_outcome: Mapped[str | None]
    last_job_id: Mapped[str | None]
    #: ``code``, ``message`` and ``next_step`` of the latest submission, if it was refused.
    last_refusal: Mapped[dict[str, Any] | None]
    #: ``code`` and ``message`` of the latest time, if it was skipped.
    last_skip: Mapped[dict[str, Any] | None]
    #: How many jobs it submitted, how many submissions were refused, how many times skipped.
    submitted: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    refused: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    skipped: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    updated_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))

    @property
    def id(self) -> str:
        """What pages of schedules are cut by."""
        return self.name
