"""Who may do what: keys, their roles, one-time tickets, and the sessions of browsers.

A key is ``aca_`` and 256 random bits; only its sha256 is stored, so finding it by its hash takes
the same time for every wrong key. Services here take a session and never commit, except
`bootstrap_admin_key`, which is an entry point of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from academy.errors import AcademyError, Forbidden
from academy.settings import Settings
from academy.store.access import access
from academy.store.access.tables import ApiKey
from academy.store.engine import Session, open_sessions

TICKET_SECONDS = 60.0
SESSION_SECONDS = 12 * 3600.0


class Role(StrEnum):
    """What a key may do; each role may do what the ones before it may."""

    VIEWER = "viewer"  # reads, watches and chats
    OPERATOR = "operator"  # also records work, starts and stops jobs
    ADMIN = "admin"  # also moves aliases, drains workers and makes keys

    def includes(self, other: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)


class KeyMissing(AcademyError):
    """This needs an API key, and the request carried none."""

    code = "key_missing"
    status = 401
    next_step = "Send 'Authorization: Bearer KEY' (or 'X-API-Key: KEY'); the first admin key lies \
in HOME/admin.key."


class KeyUnknown(AcademyError):
    """The API key is not one that this server knows."""

    code = "key_unknown"
    status = 401
    next_step = "Check that the key is whole and was made by this installation."


class KeyRevoked(AcademyError):
    """The API key {name!r} was revoked."""

    code = "key_revoked"
    status = 401
    next_step = "Ask an admin for a new key."


class TicketRefused(AcademyError):
    """The ticket is unknown, was used before, or is older than a minute."""

    code = "ticket_refused"
    status = 401
    next_step = "Get a new one with POST /api/v1/academy/tickets and use it at once, once."


class SessionEnded(AcademyError):
    """The dashboard's session is unknown, was signed out, or is older than 12 hours."""

    code = "session_ended"
    status = 401
    next_step = "Open a new link: `academy ticket` prints one, as `academy up` does at its start."


@dataclass(frozen=True)
class Principal:
    """Who sent a request."""

    key_id: str
    name: str
    role: Role

    def require(self, needed: Role) -> None:
        """Raise `Forbidden` unless the role includes `needed`."""
        if not self.role.includes(needed):
            raise Forbidden(name=self.name, role=str(self.role), needed=str(needed))


def authenticate(session: Session, secret: str | None) -> Principal:
    """Who holds this key. Raises `KeyMissing`, `KeyUnknown` or `KeyRevoked`."""
    if not secret:
        raise KeyMissing
    return _used(session, access.key_by_hash(session, digest(secret)))


def revoked_of(session: Session, key_ids: Collection[str]) -> Collection[str]:
    """Those of the keys that are revoked, or were never there."""
    return set(key_ids) - set(access.live_keys(session, key_ids))


def make_key(session: Session, name: str, role: Role) -> tuple[ApiKey, str]:
    """A new key: its row, and the secret that is shown this once."""
    secret = "aca_" + secrets.token_urlsafe(32)
    row = access.add_key(
        session, id="key_" + secrets.token_hex(8), name=name, role=role, hash=digest(secret)
    )
    return row, secret


def make_ticket(session: Session, principal: Principal) -> str:
    """A pass for one connection within `TICKET_SECONDS`, with the rights of the key."""
    secret = "tkt_" + secrets.token_urlsafe(32)
    access.add_ticket(session, digest(secret), principal.key_id, TICKET_SECONDS)
    return secret


def redeem_ticket(session: Session, secret: str) -> Principal:
    """Use a ticket up. Raises `TicketRefused`, or `KeyRevoked` if its key is."""
    key = access.redeem_ticket(session, digest(secret))
    if key is None:
        raise TicketRefused
    return _principal(key)


def ticket_key_id(session: Session, secret: str) -> str | None:
    """Whose ticket it is, without using it up; None if it cannot be used."""
    return access.ticket_key_id(session, digest(secret))


def open_session(session: Session, principal: Principal) -> str:
    """A secret that stands for the key for `SESSION_SECONDS`, for a browser's cookie."""
    secret = "ses_" + secrets.token_urlsafe(32)
    access.add_browser_session(session, _session_digest(secret), principal.key_id, SESSION_SECONDS)
    return secret


def resume_session(session: Session, secret: str) -> Principal:
    """Whose session this is. Raises `SessionEnded`, or `KeyRevoked` if its key is."""
    key = access.browser_session_key(session, _session_digest(secret))
    if key is None:
        raise SessionEnded
    return _used(session, key)


def close_session(session: Session, secret: str) -> None:
    """End a session; ending it again changes nothing."""
    access.end_browser_session(session, _session_digest(secret))


def bootstrap_admin_key(settings: Settings) -> Path:
    """Make sure that HOME/admin.key holds a live admin key (mode 0600); the file's path.

    A key that still works stays. If the file is missing, or holds a key that was revoked or is of
    another database, a new key is made. Several processes may do this at once.
    """
    path = settings.home / "admin.key"
    with open_sessions(settings, pool_size=1) as sessions, sessions.begin() as session:
        access.lock_bootstrap(session)
        if not _holds_live_admin(session, path):
            _, secret = make_key(session, "admin (made at the first start)", Role.ADMIN)
            # The file goes first: a key without a row is replaced by the next start, but a row
            # without a file would be a live key that nobody has.
            _write_private(path, secret + "\n")
    return path


def digest(secret: str) -> str:
    """The sha256 of a key or ticket, in hex, as it is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _session_digest(secret: str) -> str:
    # Sessions lie with the tickets; the prefix keeps a used ticket from being taken for a session.
    return digest(f"session:{secret}")


def _used(session: Session, key: ApiKey | None) -> Principal:
    principal = _principal(key)
    if key is not None:
        access.touch_key(session, key)
    return principal


def _principal(key: ApiKey | None) -> Principal:
    if key is None:
        raise KeyUnknown
    if key.revoked_at is not None:
        raise KeyRevoked(name=key.name)
    return Principal(key_id=key.id, name=key.name, role=Role(key.role))


def _holds_live_admin(session: Session, path: Path) -> bool:
    try:
        secret = path.read_text().strip()
    except FileNotFoundError:
        return False
    key = access.key_by_hash(session, digest(secret))
    return key is not None and key.revoked_at is None and key.role == Role.ADMIN


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes the file with mode 0600, so the key is never readable by others.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # it was renamed or never there
            os.unlink(temporary)
        raise
