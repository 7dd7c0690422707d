"""Removing what nobody names from the artifact store, now and then."""

from __future__ import annotations

import time

from academy.artifacts.store import ArtifactStore
from academy.ops import garbage
from workers.keeper.duty import Context

#: The artifact store is listed as a whole, which may take a while.
_EVERY_SECONDS = 3600.0


class CollectGarbage:
    """Removes old artifacts that nobody names: once an hour, or once a grace time if shorter."""

    name = "collect_garbage"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._collected_at: float | None = None

    def do(self) -> int:
        """How many artifacts were removed; 0 as well while it is not time again."""
        grace = self._context.settings.artifacts.grace_seconds
        now = time.monotonic()
        interval = min(_EVERY_SECONDS, grace)
        if self._collected_at is not None and now - self._collected_at < interval:
            return 0
        self._collected_at = now
        store = ArtifactStore(self._context.settings)
        return len(garbage.collect(store, self._context.sessions, grace_seconds=grace))
