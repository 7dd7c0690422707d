"""What the API, a worker and a keeper ask before they begin."""

from __future__ import annotations

from academy.artifacts.store import require_store
from academy.events.stream import require_address
from academy.settings import Settings
from academy.store.schema import require_in_order

__all__ = ["require_ready"]


def require_ready(settings: Settings) -> None:
    """Refuse to begin where Academy is switched off or lacks what every process of it needs.

    Raises `SwitchedOff`, `BadSetting` for Redis, the artifact store and PostgreSQL,
    `PostgresTooOld`, `SchemaMismatch`, `KindsMissing` and `StoreError`.
    """
    settings.require_enabled()
    require_address(settings)
    require_store(settings)
    require_in_order(settings.postgres.url)
