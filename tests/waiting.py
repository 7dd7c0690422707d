"""Waiting for a condition, with an end that a busy machine puts off."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable


def until(
    condition: Callable[[], object],
    within: float,
    what: str | Callable[[], str],
    poll: float = 0.05,
) -> float:
    """Wait for a condition; the seconds it took. Fails with `what` when the time is over.

    On a machine that is busy with other things it waits longer; see `patience`.
    """
    began = time.monotonic()
    pause = threading.Event()
    while not condition():
        waited = time.monotonic() - began
        if waited > within and waited > within * patience():
            said = what() if callable(what) else what
            raise AssertionError(f"not within {waited:.1f} s: {said}")
        pause.wait(poll)
    return time.monotonic() - began


def patience() -> float:
    """By what limits are multiplied: 1, or more where processes queue for the cores.

    The harness by itself keeps two processes a core runnable for some of the time. Three at most:
    a test is ended after its own time-out, and what a wait has to say would be lost.
    """
    load, _, _ = os.getloadavg()
    return min(max(1.0, load / (2 * (os.cpu_count() or 1))), 3.0)
