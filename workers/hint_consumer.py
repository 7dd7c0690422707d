"""Whether this process takes hints from its queue; may be said from any thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)


class HintConsumer:
    """Opens and closes the queue of a Celery consumer.

    A worker that cannot take a job would otherwise eat hints that others wait for.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._open = True
        self._celery: Any = None

    def attach(self, sender: Any, **_: object) -> None:
        """The consumer is ready; a receiver of Celery's signal ``worker_ready``."""
        self._celery = sender
        self.set_open(self._open)

    def set_open(self, is_open: bool) -> None:
        """Take hints or not. Say it again from time to time: a lost connection may forget it."""
        self._open = is_open
        if self._celery is not None and not self._is_done():
            # The consumer is touched in its own thread only, between two jobs.
            self._celery.call_soon(self._apply)

    def run_soon(self, work: Callable[[], None]) -> None:
        """Have the consumer's thread do `work` between two hints; its errors go to the log."""
        if self._celery is not None:
            self._celery.call_soon(_logging_errors, work)

    def _is_done(self) -> bool:
        hints = self._celery.task_consumer
        # None: between two connections; the next call finds the new one.
        return hints is None or bool(hints.consuming_from(self._queue)) == self._open

    def _apply(self) -> None:
        if self._is_done():
            return
        if self._open:
            self._celery.add_task_queue(self._queue)
        else:
            self._celery.cancel_task_queue(self._queue)


def _logging_errors(work: Callable[[], None]) -> None:
    try:
        work()
    except Exception:
        log.exception("a part in another worker's job broke off")
