"""What takes long to find out, found in the background while somebody asks for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from academy.errors import Unavailable

logger = logging.getLogger(__name__)

#: The pause between two looks.
LOOK_SECONDS = 2.0
#: After so long without a question nobody looks any more.
_IDLE_SECONDS = 30.0
#: What was found is not told when it is older than this; whoever asks waits for a look, so long.
_OLD_SECONDS = 15.0
#: How long the end waits for the look that is under way.
_CLOSE_SECONDS = 5.0

Seen = TypeVar("Seen")


class Lookout(Generic[Seen]):
    """Calls `look` again and again in a thread, from the first question on until nobody asks.

    `look` must end by itself; what it raises is logged, and raised to whoever asks next.
    """

    def __init__(self, look: Callable[[], Seen]) -> None:
        self._look = look
        self._changed = threading.Condition()
        self._found: list[Seen] = []
        self._error: Exception | None = None
        self._found_at = self._asked_at = 0.0
        self._looking = False
        self._closed = False
        #: How often what was found became old before its time: now, and when the look began.
        self._outdated = self._looked_after = 0

    def seen(self) -> Seen:
        """What the last look found. Raises what it raised, and `Unavailable` if it takes long."""
        with self._changed:
            self._asked_at = time.monotonic()
            if not self._looking and not self._closed:
                self._looking = True
                threading.Thread(target=self._run, name="lookout", daemon=True).start()
            if not self._changed.wait_for(self._is_fresh, _OLD_SECONDS):
                why = f"looking around takes longer than {_OLD_SECONDS:g} s"
                raise Unavailable(what="What is around the API", why=why)
            if self._error is not None:
                raise self._error
            return self._found[0]

    def outdate(self) -> None:
        """What was found is known to be old: whoever asks from now on waits for a new look."""
        with self._changed:
            self._found_at, self._outdated = 0.0, self._outdated + 1
            self._changed.notify_all()

    def close(self) -> None:
        """Look no more; a look that is under way ends with the connections that it holds."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._looking, _CLOSE_SECONDS)

    def _is_due(self) -> bool:
        return self._closed or self._looked_after != self._outdated

    def _is_fresh(self) -> bool:
        return self._found_at > 0 and time.monotonic() - self._found_at < _OLD_SECONDS

    def _run(self) -> None:
        while True:
            self._looked_after = self._outdated
            try:
                found, error = [self._look()], None
            except Exception as failure:
                logger.exception("A look in the background failed.")
                found, error = [], failure
            with self._changed:
                if self._looked_after == self._outdated:
                    self._found, self._error, self._found_at = found, error, time.monotonic()
                    self._changed.notify_all()
                self._changed.wait_for(self._is_due, LOOK_SECONDS)
                if self._closed or time.monotonic() - self._asked_at > _IDLE_SECONDS:
                    self._looking = False
                    self._changed.notify_all()
                    return
