"""Deliveries: claiming what is due, and what came of it.

A delivery is claimed for a time and not for ever, so one whose keeper was killed is tried again.
None is claimed while an earlier one of the same webhook and subject is still to be delivered.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Double,
    Interval,
    Text,
    Update,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.orm import Session, aliased

from academy.errors import NotFound
from academy.store.base import Base, from_now, now
from academy.store.webhooks.tables import Delivery, DeliveryState, Webhook

#: Spelled out, since only then it is known that the indexes of what is pending suffice.
_IS_PENDING = literal_column(f"'{DeliveryState.PENDING}'", Text)
_PENDING = Delivery.state == _IS_PENDING
#: The statement's clock: indexes are read by what stays the same within a statement.
_MOMENT = func.statement_timestamp(type_=DateTime(timezone=True))
_UNCLAIMED = or_(Delivery.claimed_until.is_(None), Delivery.claimed_until < _MOMENT)
_DUE = and_(_PENDING, Delivery.next_at <= _MOMENT, _UNCLAIMED)
_ROWS = Base.metadata.tables[Delivery.__tablename__].c
_DELIVERED = (
    update(_ROWS.number.table)
    .where(
        _ROWS.number == bindparam("held"),
        _ROWS.attempts == bindparam("attempt"),
        _ROWS.state == _IS_PENDING,
    )
    .values(
        state=literal_column(f"'{DeliveryState.DELIVERED}'", Text),
        settled_at=now(),
        claimed_until=None,
        last_status=bindparam("status"),
        last_error=None,
        last_answer=bindparam("said"),
    )
)


@dataclass(frozen=True)
class Ready:
    """A webhook for which something is due; `silent` requests in a row got no answer at all."""

    webhook_id: str
    silent: int


@dataclass(frozen=True)
class Claimed:
    """A delivery that this keeper is to try now, and where and how it is signed."""

    number: int
    attempt: int
    webhook_id: str
    url: str
    secrets: tuple[str, ...]
    event_id: str
    type: str
    subject: str
    data: dict[str, Any]
    at: datetime
    cursor: str | None
    #: Since when it is pending, and how many requests in a row to the webhook had no answer.
    age_seconds: float
    silent: int


@dataclass(frozen=True)
class Tried:
    """What came of an attempt: the answer's status, or none; an error in words, or none."""

    status: int | None
    error: str | None
    answer: str | None = None


def ready(session: Session) -> list[Ready]:
    """The webhooks for which something may be due, the answering ones and longest waiting first."""
    waits = (
        select(func.min(Delivery.next_at))
        .where(Delivery.webhook_id == Webhook.id, _DUE)
        .correlate(Webhook)
        .scalar_subquery()
    )
    query = (
        select(Webhook.id, Webhook.silent)
        .where(
            Webhook.enabled,
            or_(Webhook.rest_until.is_(None), Webhook.rest_until < _MOMENT),
            waits.is_not(None),
        )
        .order_by(Webhook.silent > 0, waits)
    )
    return [Ready(each.id, each.silent) for each in session.execute(query)]


def claim(session: Session, webhook_id: str, *, seconds: float, most: int) -> list[Claimed]:
    """Take up to `most` due deliveries of the webhook for so long; others skip them."""
    same = aliased(Delivery)
    # Not as NOT EXISTS: that may become a join, which reads all that is pending where PostgreSQL
    # has no statistics yet. This is one probe of an index for each row, whatever it knows.
    first = (
        select(func.min(same.number))
        .where(
            same.webhook_id == Delivery.webhook_id,
            same.subject == Delivery.subject,
            same.state == _IS_PENDING,
        )
        .correlate(Delivery)
        .scalar_subquery()
    )
    due = (
        select(Delivery.number)
        .where(Delivery.webhook_id == webhook_id, _DUE, Delivery.number == first)
        .order_by(Delivery.next_at, Delivery.number)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    taken = session.execute(
        update(Delivery)
        .where(Delivery.number == due.c.number)
        .values(claimed_until=from_now(seconds), attempts=Delivery.attempts + 1)
        .returning(Delivery, func.extract("epoch", now() - Delivery.created_at)),
        execution_options={"populate_existing": True},
    ).all()
    if not taken:
        return []
    webhook = session.get_one(Webhook, webhook_id, populate_existing=True)
    secrets = [webhook.secret]
    until = webhook.previous_secret_until
    if webhook.previous_secret and until and session.scalar(select(now() < until)):
        secrets.append(webhook.previous_secret)
    return [
        Claimed(
            number=each.number,
            attempt=each.attempts,
            webhook_id=webhook_id,
            url=webhook.url,
            secrets=tuple(secrets),
            event_id=each.event_id,
            type=each.type,
            subject=each.subject,
            data=each.data,
            at=each.at,
            cursor=each.cursor,
            age_seconds=float(age),
            silent=webhook.silent,
        )
        for each, age in sorted(taken, key=lambda row: row[0].number)
    ]


def delivered(session: Session, ended: Sequence[tuple[Claimed, Tried]]) -> None:
    """Note that they arrived; what another keeper has by now is left to that one."""
    rows = [
        {
            "held": held.number,
            "attempt": held.attempt,
            "status": tried.status,
            "said": tried.answer,
        }
        for held, tried in ended
    ]
    if rows:
        session.connection().execute(_DELIVERED, rows)


def put_off(session: Session, held: Claimed, tried: Tried, *, seconds: float) -> bool:
    """Note that it failed and is to be tried again after so long; False if another
    keeper has it by now.

    Those behind it would only be looked at in vain before.
    """
    next_at = from_now(seconds)
    if not _settle(session, held, _came_of(tried) | {"next_at": next_at}):
        return False
    session.execute(
        update(Delivery)
        .where(
            Delivery.webhook_id == held.webhook_id,
            Delivery.subject == held.subject,
            Delivery.number > held.number,
            _PENDING,
        )
        .values(next_at=func.greatest(Delivery.next_at, next_at))
    )
    return True


def give_up(session: Session, held: Claimed, tried: Tried) -> bool:
    """Note that it failed and is not tried again; False as `put_off`."""
    values = _came_of(tried) | {"state": DeliveryState.GIVEN_UP, "settled_at": now()}
    return _settle(session, held, values)


def release(session: Session, held: Claimed) -> None:
    """Let others try it at once: this keeper ends and does not know what came of it."""
    _settle(session, held, {})


def lock_webhooks(session: Session, webhook_ids: Collection[str]) -> None:
    """Before anything is noted of their deliveries: who deletes one locks in this order, too."""
    query = select(Webhook.id).where(Webhook.id.in_(webhook_ids)).order_by(Webhook.id)
    session.execute(query.with_for_update(key_share=True))


def heard(session: Session, webhook_id: str, *, delivered: bool) -> None:
    """Note that the webhook's server answered, and when it last took something."""
    is_known = and_(
        Webhook.silent == 0, Webhook.last_delivered_at > from_now(-1) if delivered else true()
    )
    values: dict[str, Any] = {"silent": 0, "rest_until": None}
    if delivered:
        values["last_delivered_at"] = now()
    asked = Webhook.id == webhook_id, is_known.is_not(True)
    _note(session, update(Webhook).where(*asked).values(**values))


def silent(session: Session, webhook_id: str, *, count: int, rest_seconds: float) -> None:
    """Note that nobody answered there `count` times by now; leave the webhook alone for so long."""
    values = {"silent": count, "rest_until": from_now(rest_seconds)}
    _note(session, update(Webhook).where(Webhook.id == webhook_id).values(**values))


def gone(session: Session, webhook_id: str, url: str) -> None:
    """Disable the webhook, whose server says that it is no more, unless it has moved since."""
    asked = Webhook.id == webhook_id, Webhook.url == url
    values = {"enabled": False, "disabled_reason": "gone", "updated_at": now()}
    _note(session, update(Webhook).where(*asked).values(**values))


def add(session: Session, webhook_id: str, **values: Any) -> Delivery:
    """A delivery that no change made, at the end of the order: a test."""
    made = insert(Delivery).values(webhook_id=webhook_id, **values).returning(Delivery)
    return session.scalars(made).one()


def repeat(session: Session, webhook_id: str, number: int) -> Delivery:
    """The same event once more, as a delivery of its own at the end of the order."""
    first = get(session, webhook_id, number)
    again = {
        name: getattr(first, name)
        for name in ("event_id", "type", "subject", "data", "at", "cursor")
    }
    return add(session, webhook_id, **again, repeats=first.repeats or first.number)


def get(session: Session, webhook_id: str, number: int) -> Delivery:
    """A delivery of that webhook; raises `NotFound`."""
    found = session.get(Delivery, number)
    if found is None or found.webhook_id != webhook_id:
        raise NotFound(noun="delivery", id=f"delivery_{number}")
    return found


def page(
    session: Session,
    webhook_id: str,
    *,
    state: DeliveryState | None,
    limit: int,
    before: int | None,
) -> list[Delivery]:
    """Deliveries of a webhook, newest first, before that number; one more than `limit` if any."""
    query = select(Delivery).where(Delivery.webhook_id == webhook_id)
    if state is not None:
        query = query.where(Delivery.state == state)
    if before is not None:
        query = query.where(Delivery.number < before)
    return list(session.scalars(query.order_by(Delivery.number.desc()).limit(limit + 1)))


def expire(session: Session, *, older_than_seconds: float, most: int) -> int:
    """Give up what nobody could take for so long, as while its webhook is disabled; how many."""
    old = (
        select(Delivery.number)
        .where(_PENDING, _UNCLAIMED, Delivery.created_at < _ago(older_than_seconds))
        .order_by(Delivery.created_at)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    ended = (
        update(Delivery)
        .where(Delivery.number == old.c.number)
        .values(
            state=DeliveryState.GIVEN_UP,
            settled_at=now(),
            last_error=func.coalesce(Delivery.last_error, "it could not be tried in time"),
        )
        .returning(Delivery.number)
    )
    return len(session.scalars(ended).all())


def forget(session: Session, *, older_than_seconds: float, most: int) -> int:
    """Remove deliveries that were settled so long ago; how many."""
    old = (
        select(Delivery.number)
        .where(Delivery.settled_at < _ago(older_than_seconds))
        .order_by(Delivery.settled_at)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("old")
    )
    gone = delete(Delivery).where(Delivery.number == old.c.number).returning(Delivery.number)
    return len(session.scalars(gone).all())


def _ago(seconds: float) -> ColumnElement[datetime]:
    return _MOMENT - cast(seconds, Double) * literal_column("interval '1 second'", Interval)


def _came_of(tried: Tried) -> dict[str, Any]:
    return {
        "last_status": tried.status,
        "last_error": tried.error,
        "last_answer": tried.answer,
    }


def _settle(session: Session, held: Claimed, values: dict[str, Any]) -> bool:
    settled = (
        update(Delivery)
        .where(Delivery.number == held.number, Delivery.attempts == held.attempt, _PENDING)
        .values(claimed_until=None, **values)
        .returning(Delivery.number)
    )
    return session.scalar(settled, execution_options={"synchronize_session": False}) is not None


def _note(session: Session, statement: Update) -> None:
    session.execute(statement, execution_options={"synchronize_session": False})
