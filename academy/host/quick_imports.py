"""Importing large libraries without looking for garbage meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """What is imported within makes no garbage, so none is looked for: a tenth of the time.

    Afterwards it stays for good and is left out of every later look, which also keeps the pages
    that forked processes share as they are (``gc.freeze``, in Python's documentation).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
