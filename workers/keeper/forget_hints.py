"""Keeping the outbox small."""

from __future__ import annotations

from academy.store.jobs import hints
from workers.keeper.duty import Context

_FORGET_AFTER_SECONDS = 3600.0


class ForgetHints:
    """Deletes hints that were published long ago."""

    name = "forget_hints"

    def __init__(self, context: Context) -> None:
        self._sessions = context.sessions

    def do(self) -> int:
        """How many hints were deleted."""
        with self._sessions.begin() as session:
            return hints.forget_published(session, older_than_seconds=_FORGET_AFTER_SECONDS)
