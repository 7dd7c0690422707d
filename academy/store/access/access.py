"""Keys, one-time tickets, and requests that must not be done twice."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from academy.errors import NotFound
from academy.store.access.tables import ApiKey, IdempotentRequest, Ticket
from academy.store.base import from_now, now


def add_key(session: Session, **values: Any) -> ApiKey:
    """Store a new key's hash, name and role."""
    return session.scalars(insert(ApiKey).values(**values).returning(ApiKey)).one()


def key_by_hash(session: Session, sha256: str) -> ApiKey | None:
    """The key with this hash, revoked or not."""
    return session.scalars(select(ApiKey).where(ApiKey.hash == sha256)).one_or_none()


def touch_key(session: Session, key: ApiKey) -> None:
    """Note that a key was used; at most one write a minute, and hardly more statements."""
    used_at = key.last_used_at
    # By this host's clock, which may be off; the statement asks PostgreSQL's.
    if used_at is not None and abs(datetime.now(UTC) - used_at) < timedelta(seconds=60):
        return
    session.execute(
        update(ApiKey)
        .where(
            ApiKey.id == key.id,
            (ApiKey.last_used_at.is_(None)) | (ApiKey.last_used_at < from_now(-60)),
        )
        .values(last_used_at=now())
    )


def keys(session: Session) -> Sequence[ApiKey]:
    """All keys, oldest first."""
    return session.scalars(select(ApiKey).order_by(ApiKey.created_at)).all()


def live_keys(session: Session, key_ids: Collection[str]) -> Sequence[str]:
    """Those of the ids whose key is not revoked."""
    query = select(ApiKey.id).where(ApiKey.id.in_(key_ids), ApiKey.revoked_at.is_(None))
    return session.scalars(query).all()


def count_live_admins(session: Session) -> int:
    """How many admin keys are not revoked."""
    live = (ApiKey.role == "admin") & ApiKey.revoked_at.is_(None)
    return int(session.scalar(select(func.count()).select_from(ApiKey).where(live)) or 0)


def lock_bootstrap(session: Session) -> None:
    """Wait until no other process makes the first admin key; held until the transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("admin.key", 0))))


def revoke_key(session: Session, key_id: str) -> ApiKey:
    """Revoke a key; revoking it again changes nothing. Raises `NotFound`."""
    key = session.get(ApiKey, key_id, with_for_update=True)
    if key is None:
        raise NotFound(noun="key", id=key_id)
    if key.revoked_at is None:
        session.execute(update(ApiKey).where(ApiKey.id == key_id).values(revoked_at=now()))
        session.refresh(key)
    return key


def add_ticket(session: Session, sha256: str, key_id: str, seconds: float) -> None:
    """Store a ticket's hash; old ones are cleared away at the same time."""
    session.execute(delete(Ticket).where(Ticket.expires_at < from_now(-3600)))
    session.execute(insert(Ticket).values(hash=sha256, key_id=key_id, expires_at=from_now(seconds)))


def redeem_ticket(session: Session, sha256: str) -> ApiKey | None:
    """Use a ticket up; the key it stands for, or None if it is unknown, used or too old."""
    key_id = session.scalar(
        update(Ticket)
        .where(Ticket.hash == sha256, Ticket.used_at.is_(None), Ticket.expires_at > now())
        .values(used_at=now())
        .returning(Ticket.key_id)
    )
    return session.get(ApiKey, key_id) if key_id is not None else None


def ticket_key_id(session: Session, sha256: str) -> str | None:
    """The key that a ticket stands for, or None if it is unknown, used or too old."""
    return session.scalar(
        select(Ticket.key_id).where(
            Ticket.hash == sha256, Ticket.used_at.is_(None), Ticket.expires_at > now()
        )
    )


def add_browser_session(session: Session, sha256: str, key_id: str, seconds: float) -> None:
    """Store a session's hash.

    It is a ticket that was used from the start: nobody can redeem it, and it is cleared away with
    the tickets.
    """
    session.execute(
        insert(Ticket).values(
            hash=sha256, key_id=key_id, expires_at=from_now(seconds), used_at=now()
        )
    )


def browser_session_key(session: Session, sha256: str) -> ApiKey | None:
    """The key that a session stands for, or None if it is unknown or over."""
    return session.scalars(
        select(ApiKey)
        .join(Ticket, Ticket.key_id == ApiKey.id)
        .where(Ticket.hash == sha256, Ticket.used_at.is_not(None), Ticket.expires_at > now())
    ).one_or_none()


def end_browser_session(session: Session, sha256: str) -> None:
    """Forget a session."""
    session.execute(delete(Ticket).where(Ticket.hash == sha256, Ticket.used_at.is_not(None)))


def lock_request(session: Session, owner: str, key: str) -> bool:
    """Reserve an idempotency key until this transaction ends; False if another one has it.

    An advisory lock leaves nothing behind when its process is killed.
    """
    name = func.hashtextextended(f"{owner}/{key}", 0)
    return bool(session.scalar(select(func.pg_try_advisory_xact_lock(name))))


def find_request(session: Session, owner: str, key: str) -> IdempotentRequest | None:
    """The request of the last 24 hours that had this key."""
    return session.scalars(
        select(IdempotentRequest).where(
            IdempotentRequest.owner == owner,
            IdempotentRequest.key == key,
            IdempotentRequest.created_at > from_now(-86400),
        )
    ).one_or_none()


def remember_request(session: Session, **values: Any) -> None:
    """Keep an answer for repetitions, in the transaction that did what was asked."""
    session.execute(
        delete(IdempotentRequest).where(IdempotentRequest.created_at < from_now(-86400))
    )
    session.execute(insert(IdempotentRequest).values(**values))
