"""The tables of sweeps: a search over a recipe's knobs, and its trials."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from academy.store.base import Base
from academy.store.jobs.tables import Job


class Sweep(Base):
    """A search over chosen knobs of a recipe. Its trials are ordinary training jobs."""

    __tablename__ = "sweeps"
    __table_args__ = (
        CheckConstraint("status IN ('running', 'finished', 'failed', 'cancelled')", "status"),
        CheckConstraint("(status = 'running') = (finished_at IS NULL)", "finished_at"),
        Index("sweeps_created_at_idx", text("created_at DESC"), "id"),
        # The keepers look at these, and at nothing else.
        Index("sweeps_running_idx", "created_at", postgresql_where=text("status = 'running'")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    #: ``running`` from its start; the keepers make it ``finished`` (a trial succeeded) or
    #: ``failed`` (none did) when nothing is left to try, a client makes it ``cancelled``.
    status: Mapped[str]
    #: What the client asked for, with the dataset and the base model that were chosen.
    request: Mapped[dict[str, Any]]
    dataset_id: Mapped[str]
    base_model: Mapped[str]
    created_by: Mapped[str | None]
    #: Why no further trial is begun, once that is so.
    ended_because: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    finished_at: Mapped[datetime | None]


class SweepTrial(Base):
    """One trial of a sweep: the values that it tries, and the job that tries them."""

    __tablename__ = "sweep_trials"
    __table_args__ = (UniqueConstraint("job_id"),)

    sweep_id: Mapped[str] = mapped_column(
        ForeignKey("sweeps.id", ondelete="CASCADE"), primary_key=True
    )
    #: From 1, in the order in which trials are begun.
    number: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey(Job.id, ondelete="CASCADE"))
    #: The chosen knobs and their values.
    knobs: Mapped[dict[str, Any]]
    #: Optimizer steps that were set aside for it from the budget.
    steps: Mapped[int]
    #: Why the sweep cancelled it before its end, such as a loss above the others' median.
    stopped_because: Mapped[str | None]
