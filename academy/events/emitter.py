"""Who takes the events of a job: its writer, or a log where somebody else writes them."""

from __future__ import annotations

from typing import Any, Protocol


class Emitter(Protocol):
    """Takes events as they come and never waits for a server."""

    def emit(self, type: str, **fields: Any) -> object:
        """Take one event."""
