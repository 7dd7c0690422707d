"""Removing the containers of this host whose job nobody holds under their fence."""

from __future__ import annotations

from workers.keeper.duty import Context


class RemoveOrphans:
    """Removes what a killed worker left running or lying about."""

    name = "remove_orphans"

    def __init__(self, context: Context) -> None:
        self._context = context

    def do(self) -> int:
        """How many containers were removed."""
        from academy.training.launchers.orphans import remove_orphans  # loads the Docker client

        return remove_orphans(self._context.sessions, self._context.settings)
