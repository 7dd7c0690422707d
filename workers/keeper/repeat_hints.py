"""Repeating hints that were lost: a message is no promise, a queued job is one."""

from __future__ import annotations

import logging

from academy.store.jobs import hints
from workers.keeper.duty import Context

log = logging.getLogger(__name__)


class RepeatHints:
    """Tops up the broker where fewer hints wait than jobs have been waiting for some time."""

    name = "repeat_hints"

    def __init__(self, context: Context) -> None:
        self._context = context

    def do(self) -> int:
        """How many hints were missing."""
        seconds = self._context.settings.jobs.hint_seconds
        with self._context.sessions() as session:
            ready = hints.claimable(session, older_than_seconds=seconds)
        repeated = self._context.hints.repeat(ready)
        if repeated:
            log.info("hints repeated", extra={"hints": repeated})
        return repeated
