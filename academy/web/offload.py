"""Work that computes or reads much, in a thread of its own, so that other requests go on.

Under gevent one thread serves all requests; whatever keeps it busy keeps every watcher waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gevent import get_hub, sleep

Given = ParamSpec("Given")
Made = TypeVar("Made")


#: For so long, in seconds, work of Python's own may keep others waiting.
_LONGEST_BREATH = 0.01


class Breath:
    """Lets other requests go on in the middle of long work: to be called at every small step."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._since > _LONGEST_BREATH:
            sleep(0)
            self._since = time.monotonic()


def offload(work: Callable[Given, Made], *args: Given.args, **kwargs: Given.kwargs) -> Made:
    """What `work` returns or raises. It must not use the request, nor locks of other threads."""

    def attempt() -> tuple[list[Made], BaseException | None]:
        # gevent prints what is raised in its threads, even if the caller deals with it.
        try:
            return [work(*args, **kwargs)], None
        except Exception as error:
            return [], error

    made, error = get_hub().threadpool.apply(attempt)
    if error is not None:
        raise error
    return made[0]
