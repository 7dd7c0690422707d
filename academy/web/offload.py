"""Work that computes or reads much, in a thread of its own, so that other requests go on.

Under gevent one thread serves all requests; whatever keeps it busy keeps every watcher waiting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from gevent import get_hub

Given = ParamSpec("Given")
Made = TypeVar("Made")


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
