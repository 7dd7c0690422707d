"""Adapters, and the aliases that point at them. Migrations make these tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from academy.store.base import Base, now


class Adapter(Base):
    """A trained LoRA adapter. It never changes: a database trigger refuses updates."""

    __tablename__ = "adapters"
    __table_args__ = (Index("adapters_created_at_idx", text("created_at DESC"), "id"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    digest: Mapped[str]
    key: Mapped[str]
    job_id: Mapped[str | None] = mapped_column(unique=True)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("adapters.id"))
    base_model: Mapped[str]
    base_digest: Mapped[str | None]
    dataset_id: Mapped[str | None]
    role: Mapped[str | None]
    parameters: Mapped[dict[str, Any]]
    #: Held-out losses with their paired interval, throughput, versions.
    metrics: Mapped[dict[str, Any]]
    code_version: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class Alias(Base):
    """A name that clients use for a model, and the adapter it points at (none: the base)."""

    __tablename__ = "aliases"

    name: Mapped[str] = mapped_column(primary_key=True)
    adapter_id: Mapped[str | None] = mapped_column(ForeignKey("adapters.id"))
    #: Raised by each move; a move names the generation that it saw.
    generation: Mapped[int] = mapped_column(BigInteger, default=0)
    updated_at: Mapped[datetime] = mapped_column(
        server_default=text("clock_timestamp()"), onupdate=now()
    )


class AliasMove(Base):
    """What an alias pointed at, since when, and who moved it why."""

    __tablename__ = "alias_moves"
    __table_args__ = (UniqueConstraint("alias", "generation"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    alias: Mapped[str] = mapped_column(ForeignKey("aliases.name"))
    generation: Mapped[int] = mapped_column(BigInteger)
    from_adapter_id: Mapped[str | None]
    to_adapter_id: Mapped[str | None]
    moved_by: Mapped[str | None]
    reason: Mapped[str | None]
    #: Seconds that load, digest check, probe and the move took.
    swap_seconds: Mapped[float | None]
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
