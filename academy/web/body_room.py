"""How much of the bodies that are being read one process holds at once."""

from __future__ import annotations

from academy.errors import AcademyError

#: So many of the largest bodies may be in memory at the same time. What is parsed of them takes
#: several times as much.
_LARGEST_BODIES = 8


class TooManyBodies(AcademyError):
    """Bodies of {held} bytes are being read already, and at most {most} are at once."""

    code = "too_many_bodies"
    status = 503
    next_step = (
        "Send the request again in a few seconds; nothing of it was done. "
        "Fewer large requests at the same time are all taken."
    )
    retry_after_seconds = 5


class BodyRoom:
    """A number of bytes that is shared by all requests which are being answered.

    It is taken as bytes arrive and not as they are announced, so whoever announces much and sends
    little keeps nobody out. Whoever finds none is refused rather than kept waiting: bodies that
    wait for each other would wait for ever.
    """

    def __init__(self, largest_body: int) -> None:
        self._most = _LARGEST_BODIES * largest_body
        self._held = 0

    def take(self, size: int) -> None:
        """Count `size` more bytes. Raises `TooManyBodies`, and counts nothing then."""
        if self._held + size > self._most:
            raise TooManyBodies(held=self._held, most=self._most)
        self._held += size

    def give_back(self, size: int) -> None:
        """Bytes that were taken are no longer held."""
        self._held -= size
