"""Submitting the jobs whose time has come."""

from __future__ import annotations

from academy.schedules.firing import fire_due
from workers.keeper.duty import Context


class FireSchedules:
    """Submits the jobs of the schedules that are due."""

    name = "fire_schedules"

    def __init__(self, context: Context) -> None:
        self._context = context

    def do(self) -> int:
        """How many jobs were submitted."""
        return fire_due(self._context.sessions, self._context.settings)
