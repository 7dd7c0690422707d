"""Webhooks: keeping them, and turning what changed into deliveries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from academy.errors import Conflict, NotFound
from academy.store.base import from_now, now
from academy.store.changes import changes
from academy.store.changes.tables import Change, Xid8
from academy.store.webhooks.tables import Delivery, Webhook

#: Each of them costs the keepers a look at what changed.
MOST = 100


def clock(session: Session) -> datetime:
    """The time by PostgreSQL's clock, in UTC."""
    return session.execute(select(now())).scalar_one()


def create(session: Session, **values: Any) -> Webhook:
    """A new webhook, which is told what changes from now on; `Conflict` if there are many."""
    if (session.scalar(select(func.count()).select_from(Webhook)) or 0) >= MOST:
        raise Conflict(detail=f"There are {MOST} webhooks already; delete one first.")
    xid, id = changes.newest(session)
    webhook = Webhook(**values, cursor_xid=xid, cursor_id=id)
    session.add(webhook)
    session.flush()
    session.refresh(webhook)
    return webhook


def get(session: Session, webhook_id: str, *, locked: bool = False) -> Webhook:
    """The webhook; with `locked`, nobody changes it meanwhile. Raises `NotFound`."""
    found = session.get(Webhook, webhook_id, with_for_update=locked or None, populate_existing=True)
    if found is None:
        raise NotFound(noun="webhook", id=webhook_id)
    return found


def every(session: Session) -> Sequence[Webhook]:
    """All webhooks, the oldest first."""
    return session.scalars(select(Webhook).order_by(Webhook.created_at, Webhook.id)).all()


def change(session: Session, webhook: Webhook, **values: Any) -> Webhook:
    """Change a webhook that `get` has locked.

    One that is enabled again is told what changes from then on.
    """
    if values.get("enabled") and not webhook.enabled:
        xid, id = changes.newest(session)
        values |= {"cursor_xid": xid, "cursor_id": id, "disabled_reason": None}
    if values.get("enabled") or "url" in values:
        values |= {"silent": 0, "rest_until": None}
    return session.scalars(
        update(Webhook)
        .where(Webhook.id == webhook.id)
        .values(**values, updated_at=now())
        .returning(Webhook),
        execution_options={"populate_existing": True},
    ).one()


def rotate(session: Session, webhook: Webhook, secret: str, grace_seconds: float) -> Webhook:
    """Give a webhook that `get` has locked another secret; the one before counts for so long."""
    return change(
        session,
        webhook,
        secret=secret,
        previous_secret=webhook.secret if grace_seconds else None,
        previous_secret_until=from_now(grace_seconds) if grace_seconds else None,
    )


def remove(session: Session, webhook_id: str) -> None:
    """Delete a webhook and its deliveries. Raises `NotFound`."""
    gone = delete(Webhook).where(Webhook.id == webhook_id).returning(Webhook.id)
    if session.scalar(gone) is None:
        raise NotFound(noun="webhook", id=webhook_id)


def taken(session: Session) -> tuple[int, int] | None:
    """The change up to which every enabled webhook has taken all; None if there is none."""
    query = (
        select(Webhook.cursor_xid, Webhook.cursor_id)
        .where(Webhook.enabled)
        .order_by(Webhook.cursor_xid, Webhook.cursor_id)
        .limit(1)
    )
    found = session.execute(query).first()
    return None if found is None else (found.cursor_xid, found.cursor_id)


def behind(session: Session) -> Sequence[str]:
    """The webhooks for which something changed that was not looked at yet."""
    newer = exists().where(
        tuple_(Change.xid, Change.id) > tuple_(Webhook.cursor_xid, Webhook.cursor_id),
        Change.xid < func.pg_snapshot_xmin(func.pg_current_snapshot(), type_=Xid8),
    )
    return session.scalars(select(Webhook.id).where(Webhook.enabled, newer)).all()


def fan_out(
    session: Session,
    webhook_id: str,
    deliveries_of: Callable[[Webhook, Sequence[Change]], list[dict[str, Any]]],
    most: int,
) -> int:
    """Turn the next changes into deliveries of the webhook; how many changes were looked at.

    The cursor moves in the same transaction, under the webhook's lock, so a change is looked at
    once for each webhook. One that another keeper is at is left to that one: 0.
    """
    webhook = session.scalars(
        select(Webhook)
        .where(Webhook.id == webhook_id, Webhook.enabled)
        .with_for_update(skip_locked=True),
        execution_options={"populate_existing": True},
    ).one_or_none()
    if webhook is None:
        return 0
    found = changes.after(session, webhook.cursor_xid, webhook.cursor_id, most)
    if not found:
        return 0
    if wanted := deliveries_of(webhook, found):
        # The index says what the cursor does: an event becomes one delivery.
        session.execute(insert(Delivery).on_conflict_do_nothing(), wanted)
    session.execute(
        update(Webhook)
        .where(Webhook.id == webhook_id)
        .values(cursor_xid=found[-1].xid, cursor_id=found[-1].id),
        execution_options={"synchronize_session": False},
    )
    return len(found)
