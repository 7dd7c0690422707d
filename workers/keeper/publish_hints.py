"""Publishing the hints that no API process got to the broker."""

from __future__ import annotations

from workers.keeper.duty import Context


class PublishHints:
    """Publishes what waits in the outbox."""

    name = "publish_hints"

    def __init__(self, context: Context) -> None:
        self._hints = context.hints

    def do(self) -> int:
        """How many hints waited."""
        return self._hints.publish()
