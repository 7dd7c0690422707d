"""Beginning the next trials of sweeps, and stopping poor ones."""

from __future__ import annotations

from academy.sweeps.advance import advance_sweeps
from workers.keeper.duty import Context


class AdvanceSweeps:
    """Carries every running sweep one step further."""

    name = "advance_sweeps"

    def __init__(self, context: Context) -> None:
        self._context = context

    def do(self) -> int:
        """How many trials were begun."""
        return advance_sweeps(self._context.sessions, self._context.settings)
