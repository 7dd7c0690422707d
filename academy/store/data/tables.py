"""What datasets are made from, and datasets. Migrations make these tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from academy.store.base import Base


class Lesson(Base):
    """A situation and what solved it."""

    __tablename__ = "lessons"
    __table_args__ = (Index("lessons_created_at_idx", "created_at", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    situation: Mapped[str]
    solution: Mapped[str]
    tags: Mapped[list[Any]] = mapped_column(JSONB)
    source: Mapped[str | None]
    quality: Mapped[float | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class Task(Base):
    """A finished conversation and how it ended."""

    __tablename__ = "tasks"
    __table_args__ = (Index("tasks_created_at_idx", "created_at", "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    messages: Mapped[list[Any]] = mapped_column(JSONB)
    outcome: Mapped[str]
    tags: Mapped[list[Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class Run(Base):
    """One scored episode of an agent: what was asked, what it answered, and how good that was."""

    __tablename__ = "runs"
    __table_args__ = (
        CheckConstraint("reward >= 0 AND reward <= 1", "reward"),
        Index("runs_created_at_idx", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    #: The conversation; its last message is the answer that was scored.
    messages: Mapped[list[Any]] = mapped_column(JSONB)
    #: As the client gave it; without one the signals decide (`academy.curation.reward`).
    reward: Mapped[float | None]
    signals: Mapped[dict[str, Any]]
    source: Mapped[str | None]
    #: The task that the run was an attempt at.
    task_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class SplitSide(Base):
    """On which side of the split a group lies, decided by the first dataset that had it."""

    __tablename__ = "split_sides"

    #: The 64-bit hash of the group (of a commit, its row's id), as a signed number.
    key: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    held_out: Mapped[bool]


class Dataset(Base):
    """A curated training set, named by the digest of its files."""

    __tablename__ = "datasets"
    __table_args__ = (Index("datasets_created_at_idx", text("created_at DESC"), "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(unique=True)
    #: Where its folder lies in the artifact store.
    key: Mapped[str]
    format: Mapped[str]
    train_rows: Mapped[int]
    heldout_rows: Mapped[int]
    statistics: Mapped[dict[str, Any]]
    request: Mapped[dict[str, Any]]
    job_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
