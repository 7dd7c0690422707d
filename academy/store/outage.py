"""Telling a database that is away from a statement that is wrong."""

from __future__ import annotations

from sqlalchemy import exc

#: ``OperationalError`` codes that are the statement's or its rivals' fault, not the server's.
_NOT_AWAY = ("40001", "40P01")


def is_outage(error: BaseException) -> bool:
    """Whether this says that PostgreSQL is away, starting, out of connections or too slow."""
    if isinstance(error, exc.TimeoutError | exc.InterfaceError):
        return True
    if isinstance(error, exc.OperationalError):
        return getattr(error.orig, "sqlstate", None) not in _NOT_AWAY
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated
