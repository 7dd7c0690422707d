"""Making, changing and testing webhooks. Services take a session and never commit."""

from __future__ import annotations

import secrets

from academy.errors import Conflict
from academy.settings import Settings
from academy.store.engine import Session
from academy.store.webhooks import deliveries, webhooks
from academy.store.webhooks.tables import Delivery, Webhook
from academy.webhooks import targets
from academy.webhooks.event_types import TEST
from academy.webhooks.request import RotationRequest, WebhookChange, WebhookRequest
from academy.webhooks.signing import new_secret


def require_allowed(settings: Settings, url: str) -> None:
    """Raise `TargetRefused` unless a webhook may have this address. Asks the resolver, and waits.

    So no transaction is open meanwhile.
    """
    targets.resolve(targets.parse(url), private=settings.webhooks.private)


def create(session: Session, wanted: WebhookRequest, created_by: str | None) -> Webhook:
    """A new webhook; its `secret` is shown this once. Raises `Conflict` if there are many."""
    return webhooks.create(
        session,
        id="webhook_" + secrets.token_hex(8),
        secret=new_secret(),
        created_by=created_by,
        **wanted.model_dump(),
    )


def change(session: Session, webhook_id: str, wanted: WebhookChange) -> Webhook:
    """Change what was given; raises `NotFound`."""
    webhook = webhooks.get(session, webhook_id, locked=True)
    given = {name: value for name, value in wanted.model_dump().items() if value is not None}
    return webhooks.change(session, webhook, **given) if given else webhook


def rotate(session: Session, webhook_id: str, wanted: RotationRequest) -> Webhook:
    """Give it another secret, shown this once; raises `NotFound`."""
    webhook = webhooks.get(session, webhook_id, locked=True)
    return webhooks.rotate(session, webhook, new_secret(), wanted.grace_seconds)


def test(session: Session, webhook_id: str) -> Delivery:
    """Have it sent a ``webhook.test``. Raises `NotFound`, and `Conflict` if it is disabled."""
    webhook = webhooks.get(session, webhook_id)
    _require_enabled(webhook)
    return deliveries.add(
        session,
        webhook.id,
        event_id="evt_test_" + secrets.token_hex(8),
        type=TEST,
        subject=webhook.id,
        data={"description": webhook.description},
        at=webhooks.clock(session),
    )


def repeat(session: Session, webhook_id: str, number: int) -> Delivery:
    """Have a delivery made once more. Raises `NotFound`, and `Conflict` while it is disabled."""
    _require_enabled(webhooks.get(session, webhook_id))
    return deliveries.repeat(session, webhook_id, number)


def _require_enabled(webhook: Webhook) -> None:
    if not webhook.enabled:
        why = "its server said that it is gone" if webhook.disabled_reason else "somebody did that"
        raise Conflict(
            detail=f"The webhook {webhook.id!r} is disabled ({why}); enable it first, with"
            " PATCH and enabled=true."
        )
