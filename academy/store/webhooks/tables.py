"""Webhooks, and what is delivered to each. Migrations make these tables."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, ForeignKey, Identity, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from academy.store.base import Base
from academy.store.changes.tables import Xid8


class DeliveryState(StrEnum):
    """How far a delivery is."""

    PENDING = "pending"  # set by the fan-out, a test or a repetition; tried until it is one of:
    DELIVERED = "delivered"  # set by the keeper whose request was answered with 2xx; final
    GIVEN_UP = "given_up"  # set by a keeper after ACADEMY_WEBHOOK_HOURS, or for a 410; final


class Webhook(Base):
    """An address of somebody else's that is told what changes."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(primary_key=True)
    url: Mapped[str]
    #: Which types of events it gets: names, or patterns that end in ``*``.
    event_types: Mapped[list[str]] = mapped_column(ARRAY(Text))
    description: Mapped[str]
    enabled: Mapped[bool]
    #: Why it is disabled, where nobody asked for that: ``gone`` after an answer 410.
    disabled_reason: Mapped[str | None]
    #: ``whsec_…``. Kept as it is, since signing needs it; shown when it is made and never again.
    secret: Mapped[str]
    #: The one before, with which everything is signed as well until then.
    previous_secret: Mapped[str | None]
    previous_secret_until: Mapped[datetime | None]
    #: The last change that was looked at for it.
    cursor_xid: Mapped[int] = mapped_column(Xid8)
    cursor_id: Mapped[int] = mapped_column(BigInteger)
    #: Requests in a row to which nobody answered at all; until then it is left alone.
    silent: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    rest_until: Mapped[datetime | None]
    last_delivered_at: Mapped[datetime | None]
    created_by: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    updated_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class Delivery(Base):
    """One event for one webhook. Those of a subject are delivered in the order of `number`."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('delivered', 'given_up', 'pending')", "state"),
        CheckConstraint("(state = 'pending') = (settled_at IS NULL)", "settled_at"),
        # However often the fan-out is begun: an event becomes one delivery of a webhook.
        Index(
            "webhook_deliveries_event_key",
            "webhook_id",
            "event_id",
            unique=True,
            postgresql_where=text("repeats IS NULL"),
        ),
        # What is due is claimed from here, webhook by webhook.
        Index(
            "webhook_deliveries_due_idx",
            "webhook_id",
            "next_at",
            "number",
            postgresql_where=text("state = 'pending'"),
        ),
        # Whether an earlier one of the same subject is still to be delivered.
        Index(
            "webhook_deliveries_subject_idx",
            "webhook_id",
            "subject",
            "number",
            postgresql_where=text("state = 'pending'"),
        ),
        # What waits for too long is given up.
        Index(
            "webhook_deliveries_pending_idx",
            "created_at",
            postgresql_where=text("state = 'pending'"),
        ),
        # Listing, newest first; and what is old is removed.
        Index("webhook_deliveries_list_idx", "webhook_id", "number"),
        Index(
            "webhook_deliveries_settled_idx",
            "settled_at",
            postgresql_where=text("settled_at IS NOT NULL"),
        ),
    )

    number: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey(Webhook.id, ondelete="CASCADE"))
    #: The same for each attempt and each repetition, so that a receiver knows what it has.
    event_id: Mapped[str]
    type: Mapped[str]
    subject: Mapped[str]
    data: Mapped[dict[str, Any]]
    #: When it happened.
    at: Mapped[datetime]
    #: Its place in the order of all changes, ``xid-id``; null for a test.
    cursor: Mapped[str | None]
    #: The number of the delivery that somebody had repeated by this one.
    repeats: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(server_default=text("'pending'"))
    #: Raised by each claim; who settles with an older one is refused.
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    #: Until then a keeper is at it; after that another one may be.
    claimed_until: Mapped[datetime | None]
    #: What came of the last attempt: the status of the answer if there was one, an error in words,
    #: the beginning of the answer.
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    last_answer: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    settled_at: Mapped[datetime | None]

    @property
    def id(self) -> str:
        """What clients call it, and what pages are cut by."""
        return f"delivery_{self.number}"
