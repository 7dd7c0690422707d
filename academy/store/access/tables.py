"""The tables of who may do what, and of requests that must not be done twice."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from academy.store.base import Base


class ApiKey(Base):
    """A key of the API. Only its hash is kept."""

    __tablename__ = "api_keys"
    __table_args__ = (CheckConstraint("role IN ('viewer', 'operator', 'admin')", "role"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    #: sha256 in hex; a key is 256 random bits, so no slow hash is needed.
    hash: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Ticket(Base):
    """A one-time pass for a browser, which cannot send headers on a websocket."""

    __tablename__ = "tickets"
    __table_args__ = (Index("tickets_expires_at_idx", "expires_at"),)

    hash: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class IdempotentRequest(Base):
    """The first answer to a creating request, given again to its repetitions for 24 hours."""

    __tablename__ = "idempotent_requests"
    __table_args__ = (Index("idempotent_requests_created_at_idx", "created_at"),)

    #: The API key's id, or ``-``: two clients may use the same idempotency key.
    owner: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str]
    body_sha256: Mapped[str]
    status: Mapped[int]
    answer: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
