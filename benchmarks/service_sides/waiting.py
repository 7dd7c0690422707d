"""Waiting for servers that were started."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx


def wait_for(condition: Callable[[], bool], what: str, seconds: float) -> None:
    """Look ten times a second until it is so. Raises `TimeoutError`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come in {seconds:g} s")
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Whether somebody answers there with 200."""
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
