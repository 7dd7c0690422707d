"""Refusing to start with one clear line in the log, where a traceback would hide the cause."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from academy.errors import AcademyError

log = logging.getLogger(__name__)


@contextlib.contextmanager
def refused_clearly() -> Iterator[None]:
    """Log an `AcademyError` with its code and what to do, and end the process with status 1."""
    try:
        yield
    except AcademyError as error:
        log.error("%s %s", error, error.next_step, extra={"code": error.code})
        raise SystemExit(1) from None
