"""The body of a request as gunicorn reads it: with a limit of time, and errors that can be told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import gevent
from gunicorn.http.errors import NoMoreData, ParseException

from academy.errors import AcademyError

#: A sender that sends nothing for so long is not waited for.
SILENCE_SECONDS = 30.0
#: How long what a refused request still sends is taken in.
LINGER_SECONDS = 10.0
_LINGER_BYTES = 64 << 10
Got = TypeVar("Got", bytes, list[bytes])


class BodyBroken(AcademyError):
    """The body cannot be read: {why}."""

    code = "body_broken"
    status = 400
    next_step = "Send the request again, with Content-Length or with whole chunks."


class BodyTooSlow(AcademyError):
    """Nothing more of the body came for {seconds:g} seconds."""

    code = "body_too_slow"
    status = 408
    next_step = "Send the whole request again; nothing of it was done."


class Body:
    """gunicorn's body of a request, in the same words.

    Every reading raises `BodyTooSlow` when the sender pauses for long, and `BodyBroken` when what
    came is no body or the sender is gone.
    """

    def __init__(self, body: Any, connection: Any, give_up: Callable[[], None]) -> None:
        """`give_up` is called where it is unknown where the next request would begin."""
        self._body = body
        self._connection = connection
        self._give_up = give_up

    @property
    def failed(self) -> bool:
        """Whether it is unknown where the next request would begin."""
        failed: bool = self._body.failed
        return failed

    def read(self, size: int | None = None) -> bytes:
        """Up to `size` bytes, or all."""
        read: Callable[[int | None], bytes] = self._body.read
        return self._within_limits(read, size)

    def readline(self, size: int | None = None) -> bytes:
        """A line of up to `size` bytes."""
        read: Callable[[int | None], bytes] = self._body.readline
        return self._within_limits(read, size)

    def readlines(self, size: int | None = None) -> list[bytes]:
        """Every line."""
        read: Callable[[int | None], list[bytes]] = self._body.readlines
        return self._within_limits(read, size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def take_in(self) -> bool:
        """Read what is left, for a while; whether it came to its end.

        To a client that is still sending, closing at once would be a broken connection, not an
        answer. gunicorn would read in steps that each copy up to a megabyte.
        """
        ended = False
        with gevent.Timeout(LINGER_SECONDS, False):  # type: ignore[arg-type]  # its types know no False
            try:
                while self._body.read(_LINGER_BYTES):
                    gevent.sleep(0)  # a fast sender must not keep the others waiting
                ended = True
            except (OSError, ParseException):
                pass  # the sender is gone, or where the next request would begin is unknown
        return ended

    def _within_limits(self, read: Callable[[int | None], Got], size: int | None) -> Got:
        self._connection.settimeout(SILENCE_SECONDS)  # of each part that is received
        try:
            return read(size)
        except TimeoutError:
            self._body.failed = True
            self._give_up()
            raise BodyTooSlow(seconds=SILENCE_SECONDS) from None
        except NoMoreData as error:
            self._give_up()
            raise BodyBroken(why="it ended in the middle") from error
        except (ParseException, OSError) as error:
            self._give_up()
            raise BodyBroken(why=str(error) or type(error).__name__) from error
        finally:
            self._connection.settimeout(None)
