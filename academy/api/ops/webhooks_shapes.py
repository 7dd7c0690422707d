"""Webhooks and their deliveries, as they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from academy.store.webhooks.tables import Delivery, DeliveryState, Webhook
from academy.web.paging import PageQuery
from academy.web.shapes import Done, Shown


class WebhookShown(Shown):
    """A webhook without its secret, which is shown when it is made and never again."""

    id: str
    url: str
    event_types: list[str]
    description: str
    enabled: bool
    disabled_reason: Literal["gone"] | None = Field(
        description="'gone': its server answered 410; null where nobody but you disabled it"
    )
    previous_secret_until: datetime | None = Field(
        description="until then events are signed with the secret before as well"
    )
    silent: int = Field(description="requests in a row to which nobody answered at all")
    last_delivered_at: datetime | None
    created_by: str | None
    created_at: datetime
    updated_at: datetime


class WebhookMade(WebhookShown):
    """A webhook with its secret, which is shown this once."""

    secret: str | None = Field(description="whsec_…; null when an answer is given again")


class WebhookList(Shown):
    """All webhooks, the oldest first."""

    count: int
    webhooks: list[WebhookShown]
    event_types: list[str] = Field(description="the types of events that there are")


class WebhookGone(Done):
    """A webhook that was deleted."""

    id: str


class DeliveryShown(Shown):
    """One event for one webhook, and what came of it."""

    id: str
    event_id: str = Field(description="what webhook-id says; the same for each attempt")
    type: str
    subject: str = Field(description="the id of what changed")
    data: dict[str, Any]
    timestamp: datetime = Field(description="when it happened")
    state: DeliveryState
    repeats: str | None = Field(description="the delivery that this one repeats")
    attempts: int
    next_at: datetime | None = Field(description="when it is tried next; null once it is settled")
    last_status: int | None = Field(description="of the latest answer, if there was one")
    last_error: str | None
    last_answer: str | None = Field(description="how the latest answer began")
    created_at: datetime
    settled_at: datetime | None = Field(description="when it arrived or was given up")


class DeliveryQuery(PageQuery):
    """Which deliveries of a webhook."""

    state: DeliveryState | None = Field(None, description="only those in this state")


class DeliveriesPage(Shown):
    """A part of a webhook's deliveries, newest first."""

    count: int
    deliveries: list[DeliveryShown]
    has_more: bool
    next: str | None


def webhook_body(row: Webhook) -> dict[str, Any]:
    """The fields of `WebhookShown`."""
    return {name: getattr(row, name) for name in WebhookShown.model_fields}


def delivery_body(row: Delivery) -> dict[str, Any]:
    """The fields of `DeliveryShown`."""
    names = set(DeliveryShown.model_fields) - {"timestamp", "repeats", "next_at"}
    body = {name: getattr(row, name) for name in names}
    repeats = None if row.repeats is None else f"delivery_{row.repeats}"
    next_at = row.next_at if row.state == DeliveryState.PENDING else None
    return body | {"timestamp": row.at, "repeats": repeats, "next_at": next_at}
