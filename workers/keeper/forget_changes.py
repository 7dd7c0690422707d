"""Keeping the table of changes small."""

from __future__ import annotations

from academy.store.changes import changes
from academy.store.webhooks import webhooks
from workers.keeper.duty import Context

#: Rows removed in one transaction, and transactions of one sweep.
_AT_ONCE, _MOST_TIMES = 2_000, 10


class ForgetChanges:
    """Removes what changed longer ago than ``ACADEMY_CHANGES_DAYS``."""

    name = "forget_changes"

    def __init__(self, context: Context) -> None:
        self._context = context

    def do(self) -> int:
        """How many changes were removed; what is left goes in the next sweeps."""
        seconds = self._context.settings.events.changes_days * 86400.0
        removed = 0
        for _ in range(_MOST_TIMES):
            with self._context.sessions.begin() as session:
                # What a webhook has not taken yet has another day.
                gone = changes.remove(
                    session,
                    older_than_seconds=seconds,
                    most=_AT_ONCE,
                    taken=webhooks.taken(session),
                )
            removed += gone
            if gone < _AT_ONCE:
                break
        return removed
