"""Keys and tickets."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from academy.access.keys import Role
from academy.web.shapes import Done, Sent, Shown


class KeyWanted(Sent):
    """A key to be made."""

    name: str = Field(
        min_length=1, max_length=100, pattern=r"\S", description="who or what will use it"
    )
    role: Role = Field(Role.VIEWER, description="what it may do")


class KeyMade(Done):
    """A new key. The secret is shown this once."""

    id: str
    name: str
    role: Role
    key: str | None = Field(description="the secret; null when an answer is given again")


class KeyShown(Shown):
    """A key without its secret, which nobody has any more."""

    id: str
    name: str
    role: Role
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class KeyList(Shown):
    """All keys, oldest first."""

    count: int
    keys: list[KeyShown]


class KeyGone(Done):
    """A key that was revoked."""

    id: str


class TicketMade(Shown):
    """A pass for one connection."""

    ticket: str
    expires_in_seconds: float
