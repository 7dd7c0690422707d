"""What the API, a worker and a keeper ask before they begin."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from academy.artifacts.store import require_store
from academy.errors import AcademyError
from academy.events.stream import require_address
from academy.settings import Settings
from academy.store.engine import StoreError
from academy.store.schema import require_in_order

__all__ = ["StoreUnavailable", "needing_the_store", "require_ready"]


class StoreUnavailable(AcademyError):
    """PostgreSQL cannot be used: {reason}."""

    code = "store_unavailable"
    status = 503
    next_step = "See that it runs where ACADEMY_DATABASE_URL says, and start again."


def require_ready(settings: Settings) -> None:
    """Refuse to begin where Academy is switched off or lacks what every process of it needs.

    Raises `SwitchedOff`, `BadSetting` for Redis and the artifact store, `SchemaMismatch` and
    `StoreError`.
    """
    settings.require_enabled()
    require_address(settings)
    require_store(settings)
    require_in_order(settings.postgres.url)


@contextlib.contextmanager
def needing_the_store() -> Iterator[None]:
    """`StoreUnavailable`, which says what to do, for a `StoreError`."""
    try:
        yield
    except StoreError as error:
        # What the driver says first; its other lines guess, and SQLAlchemy's point to its manual.
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise StoreUnavailable(reason=reason) from error
