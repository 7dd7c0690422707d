"""``/webhooks``: servers of others that are told what changes, and what was delivered to them."""

from __future__ import annotations

import re
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from academy.access.keys import Role
from academy.api.ops.webhooks_shapes import (
    DeliveriesPage,
    DeliveryQuery,
    DeliveryShown,
    WebhookGone,
    WebhookList,
    WebhookMade,
    WebhookShown,
    delivery_body,
    webhook_body,
)
from academy.errors import NotFound
from academy.store.engine import Session
from academy.store.webhooks import deliveries, webhooks
from academy.store.webhooks.tables import Delivery, Webhook
from academy.web.declarations import refuses
from academy.web.idempotency import Answer, creates, idempotent
from academy.web.paging import page_of
from academy.web.permissions import allows, principal
from academy.web.state import state
from academy.webhooks import keeping
from academy.webhooks.event_types import EVENT_TYPES
from academy.webhooks.request import RotationRequest, WebhookChange, WebhookRequest

blueprint = APIBlueprint("webhooks", __name__, tag="Webhooks")

_DELIVERY = re.compile(r"delivery_([1-9][0-9]{0,17})")


@blueprint.post("/webhooks")
@allows(Role.ADMIN)
@creates
@blueprint.input(WebhookRequest, arg_name="wanted")
@blueprint.output(WebhookMade, status_code=201)
def create_webhook(wanted: WebhookRequest) -> Response:
    """Tell a server what changes from now on. Its secret is in this answer and nowhere else."""
    keeping.require_allowed(state().settings, wanted.url)

    def work(session: Session) -> Answer:
        row = keeping.create(session, wanted, principal().name)
        location = {"Location": f"/api/v1/academy/webhooks/{row.id}"}
        return Answer(_with_secret(row), 201, location)

    # A stored answer must not hold the secret, so a repetition gets everything but that.
    return idempotent(work, hide=lambda body: {**body, "secret": None}).response()


@blueprint.get("/webhooks")
@allows(Role.ADMIN)
@blueprint.output(WebhookList)
def list_webhooks() -> dict[str, Any]:
    """All webhooks without their secrets, and the types of events that there are."""
    with state().reading() as session:
        found = [webhook_body(each) for each in webhooks.every(session)]
    return {"count": len(found), "webhooks": found, "event_types": list(EVENT_TYPES)}


@blueprint.get("/webhooks/<webhook_id>")
@allows(Role.ADMIN)
@blueprint.output(WebhookShown)
def show_webhook(webhook_id: str) -> dict[str, Any]:
    """One webhook."""
    with state().reading() as session:
        return webhook_body(webhooks.get(session, webhook_id))


@blueprint.patch("/webhooks/<webhook_id>")
@allows(Role.ADMIN)
@refuses(422)
@blueprint.input(WebhookChange, arg_name="wanted")
@blueprint.output(WebhookShown)
def change_webhook(webhook_id: str, wanted: WebhookChange) -> dict[str, Any]:
    """Change what is given. What waits for it goes to its new address."""
    if wanted.url is not None:
        keeping.require_allowed(state().settings, wanted.url)
    with state().sessions.begin() as session:
        return webhook_body(keeping.change(session, webhook_id, wanted))


@blueprint.delete("/webhooks/<webhook_id>")
@allows(Role.ADMIN)
@blueprint.output(WebhookGone)
def delete_webhook(webhook_id: str) -> dict[str, Any]:
    """Delete a webhook with its deliveries; a request that is under way may still arrive."""
    with state().sessions.begin() as session:
        webhooks.remove(session, webhook_id)
    return {"success": True, "message": f"Webhook {webhook_id!r} deleted", "id": webhook_id}


@blueprint.post("/webhooks/<webhook_id>/rotate")
@allows(Role.ADMIN)
@blueprint.input(RotationRequest, arg_name="wanted")
@blueprint.output(WebhookMade)
def rotate_secret(webhook_id: str, wanted: RotationRequest) -> dict[str, Any]:
    """Give it another secret, shown this once; the one before signs as well for a while."""
    with state().sessions.begin() as session:
        return _with_secret(keeping.rotate(session, webhook_id, wanted))


@blueprint.post("/webhooks/<webhook_id>/test")
@allows(Role.ADMIN)
@refuses(409)
@blueprint.output(DeliveryShown, status_code=202)
def test_webhook(webhook_id: str) -> dict[str, Any]:
    """Have it sent a ``webhook.test``; its deliveries tell what came of that."""
    with state().sessions.begin() as session:
        return delivery_body(keeping.test(session, webhook_id))


@blueprint.get("/webhooks/<webhook_id>/deliveries")
@allows(Role.ADMIN)
@blueprint.input(DeliveryQuery, location="query", arg_name="query")
@blueprint.output(DeliveriesPage)
def list_deliveries(webhook_id: str, query: DeliveryQuery) -> Response:
    """What was, is or will be delivered to it, newest first."""

    def fetch(limit: int, after: str | None) -> list[Delivery]:
        before = None if after is None else _number(after)
        return deliveries.page(session, webhook_id, state=query.state, limit=limit, before=before)

    with state().reading() as session:
        webhooks.get(session, webhook_id)
        page = page_of(query, fetch)
    return page.answer(DeliveriesPage, "deliveries", delivery_body)


@blueprint.post("/webhooks/<webhook_id>/deliveries/<delivery_id>/repeat")
@allows(Role.ADMIN)
@refuses(409)
@blueprint.output(DeliveryShown, status_code=202)
def repeat_delivery(webhook_id: str, delivery_id: str) -> dict[str, Any]:
    """Deliver the same event once more, behind what waits."""
    with state().sessions.begin() as session:
        return delivery_body(keeping.repeat(session, webhook_id, _number(delivery_id)))


def _with_secret(row: Webhook) -> dict[str, Any]:
    shown = WebhookMade.model_validate({**webhook_body(row), "secret": row.secret})
    return shown.model_dump(mode="json")


def _number(delivery_id: str) -> int:
    found = _DELIVERY.fullmatch(delivery_id)
    if found is None:
        raise NotFound(noun="delivery", id=delivery_id)
    return int(found[1])
