"""A step of Celery's worker that keeps its handler of SIGTERM from being run within itself."""

from __future__ import annotations

import signal

from celery import bootsteps

from workers.starting import once


class HearOnce(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery publishes no types
    """Celery's own handler, which it has installed by now, hears the first SIGTERM only."""

    def start(self, parent: object) -> None:
        """Put `once` before the handler. Celery starts its steps in the main thread."""
        handler = signal.getsignal(signal.SIGTERM)
        if callable(handler):
            signal.signal(signal.SIGTERM, once(handler))
