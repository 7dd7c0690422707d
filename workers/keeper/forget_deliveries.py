"""Ending deliveries that nobody could make in time, and removing old ones."""

from __future__ import annotations

from academy.store.webhooks import deliveries
from workers.keeper.duty import Context

#: Deliveries that one sweep ends or removes at most.
_AT_ONCE = 2_000


class ForgetDeliveries:
    """Gives up what its webhook could not be sent in time; removes what was settled long ago.

    Deliveries are kept for as long as changes are, so that they can be looked at and repeated.
    """

    name = "forget_deliveries"

    def __init__(self, context: Context) -> None:
        self._context = context

    def do(self) -> int:
        """How many deliveries were given up or removed."""
        settings = self._context.settings
        limit, kept = settings.webhooks.hours * 3600.0, settings.events.changes_days * 86400.0
        with self._context.sessions.begin() as session:
            ended = deliveries.expire(session, older_than_seconds=limit, most=_AT_ONCE)
        with self._context.sessions.begin() as session:
            return ended + deliveries.forget(session, older_than_seconds=kept, most=_AT_ONCE)
