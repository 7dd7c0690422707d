"""Telling a database that is away, or full, from a statement that is wrong."""

from __future__ import annotations

import errno
import os

from sqlalchemy import exc

#: ``OperationalError`` codes that are the statement's or its rivals' fault, not the server's.
_NOT_AWAY = ("40001", "40P01")


#: ``disk_full``, and the class of what files do to a server ("could not write to file").
_FULL = ("53100", "58030")
_NO_SPACE = os.strerror(errno.ENOSPC)


def is_full(error: BaseException) -> bool:
    """Whether this says that PostgreSQL has no room to write."""
    if not isinstance(error, exc.DBAPIError):
        return False
    # A connection that is refused for it has no code; the words are those of the C library.
    return getattr(error.orig, "sqlstate", None) in _FULL or _NO_SPACE in str(error.orig)


def is_outage(error: BaseException) -> bool:
    """Whether this says that PostgreSQL is away, starting, out of connections or too slow."""
    if isinstance(error, exc.TimeoutError | exc.InterfaceError):
        return True
    if isinstance(error, exc.OperationalError):
        return getattr(error.orig, "sqlstate", None) not in _NOT_AWAY
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated
