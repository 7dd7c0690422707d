"""How a worker and a keeper begin: refusing with one clear line, and hearing signals once."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from types import FrameType

from academy.errors import AcademyError
from academy.store.engine import needing_the_store

log = logging.getLogger(__name__)

Handler = Callable[[int, FrameType | None], object]


@contextlib.contextmanager
def refused_clearly() -> Iterator[None]:
    """Log why there is no start, with a code and what to do, and end the process with status 1.

    Ctrl-C, which is no fault, ends it with that of SIGINT.
    """
    try:
        with needing_the_store():
            yield
    except AcademyError as error:
        log.error("%s %s", error, error.next_step, extra={"code": error.code})
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def once(handler: Handler) -> Handler:
    """A signal handler that passes on the first signal only.

    Python runs a handler in the middle of another one. Those of many signals at once would nest,
    and wait for a lock that the one below them holds.
    """
    heard = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        if not heard:
            heard = True
            handler(number, frame)

    return hear
