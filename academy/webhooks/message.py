"""What is sent of an event: one body that Standard Webhooks and OpenAI's clients both take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from academy.store.changes.tables import Change
from academy.store.webhooks.tables import Webhook
from academy.webhooks.event_types import is_asked_for, sent_as


def deliveries_of(webhook: Webhook, found: Sequence[Change]) -> list[dict[str, Any]]:
    """The deliveries that the webhook gets of these changes: those of the types it asks for."""
    return [
        {
            "webhook_id": webhook.id,
            "event_id": _event_id(change),
            "type": sent_as(change.type, change.data),
            "subject": change.subject,
            "data": change.data,
            "at": change.at,
            "cursor": change.cursor,
        }
        for change in found
        if is_asked_for(webhook.event_types, change.type, sent_as(change.type, change.data))
    ]


def _event_id(change: Change) -> str:
    # Not its place: a database that is restored on another server numbers the places anew.
    return f"evt_{int(change.at.timestamp() * 1_000_000):x}_{change.id}"


def body(
    *,
    event_id: str,
    type: str,
    subject: str,
    data: dict[str, Any],
    at: datetime,
    cursor: str | None,
) -> bytes:
    """The same bytes for each attempt. ``data.id`` is what changed; ``cursor`` its place.

    ``type``, ``timestamp`` and ``data`` are Standard Webhooks'; ``object``, ``id``, ``created_at``
    and ``data.id`` OpenAI's.
    """
    return json.dumps(
        {
            "object": "event",
            "id": event_id,
            "type": type,
            "timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "created_at": int(at.timestamp()),
            "cursor": cursor,
            "data": {**data, "id": subject},
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
