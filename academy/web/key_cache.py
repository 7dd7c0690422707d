"""The keys that were looked up a moment ago, so that a burst of requests asks only once."""

from __future__ import annotations

import time
from collections.abc import Callable

from academy.access.keys import Principal, digest

#: A key that another process revoked is refused after so long.
KEPT_SECONDS = 1.0
_MOST = 1024


class KeyCache:
    """Who holds a key, for `KEPT_SECONDS`; holds hashes of keys and no keys. For any thread."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Principal, float]] = {}
        #: Grows with each revocation, so that an answer from before it is not kept.
        self._revocations = 0

    def holder(self, secret: str, look_up: Callable[[], Principal]) -> Principal:
        """The holder of `secret`; what `look_up` raises is raised, and never remembered."""
        key = digest(secret)
        found = self._found.get(key)
        if found is not None and time.monotonic() < found[1]:
            return found[0]
        looked_up_at, revocations = time.monotonic(), self._revocations
        principal = look_up()
        if revocations != self._revocations:
            return principal
        if len(self._found) >= _MOST:
            self._found.clear()
        self._found[key] = (principal, looked_up_at + KEPT_SECONDS)
        return principal

    def forget(self) -> None:
        """A key was revoked: ask again for each."""
        self._revocations += 1
        self._found.clear()
