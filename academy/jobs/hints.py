"""Publishing the hints of the outbox to the broker.

A hint only makes a job start sooner; Postgres is the job. A worker that gets one works until
nothing is left to claim, so the broker never needs more hints than there are workers, and what does
not get through now is published by the keeper.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from academy.jobs.broker import BrokerAway, HintSender
from academy.settings import Settings
from academy.store.engine import Session, Sessions, StoreError
from academy.store.jobs import hints, workers

log = logging.getLogger(__name__)

#: After a failure the broker is left alone for so long.
_REST_SECONDS = 5.0
#: In a burst of jobs their hints are published together, so often at most.
_BURST_SECONDS = 0.02
#: So many hints may wait however few workers are known, for a new one is known only after a while.
_FEWEST_WAITING = 8

#: The live workers are counted anew after so long.
_COUNTED_SECONDS = 1.0


class Hints:
    """Sends hints to the broker, over a connection that it keeps."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._sessions = sessions
        self._sender = HintSender(settings)
        #: The live workers of each queue, and when they were counted.
        self._live: dict[str, int] = {}
        self._counted_at = float("-inf")

    def publish(self) -> int:
        """Publish what waits in the outbox; how many hints that were.

        Raises `BrokerAway`, after which they wait as before, and `StoreError`.
        """
        with self._sessions.begin() as session:
            waiting = hints.take_unpublished(session)
            if waiting:
                most = self._most(session)
                # A hint that nobody took yet means that a worker's next claim comes after this
                # moment. So a queue with a hint for each of its workers needs no other one.
                self._send(
                    {
                        queue: min(count, most(queue) - self._sender.waiting(queue))
                        for queue, count in waiting.items()
                    }
                )
        return waiting.total()

    def repeat(self, ready: Mapping[str, int]) -> int:
        """Have a hint wait for each of so many jobs, as far as there are workers for them.

        Returns how many were missing. Raises `BrokerAway` and `StoreError`.
        """
        if not ready:
            return 0
        with self._sessions() as session:
            most = self._most(session)
        return self._send(
            {
                queue: min(count, most(queue)) - self._sender.waiting(queue)
                for queue, count in ready.items()
            }
        )

    def close(self) -> None:
        """Give the connection back."""
        self._sender.close()

    def _most(self, session: Session) -> Callable[[str], int]:
        if time.monotonic() - self._counted_at > _COUNTED_SECONDS:
            self._live = workers.count_live(session)
            self._counted_at = time.monotonic()
        return lambda queue: max(_FEWEST_WAITING, self._live.get(queue, 0))

    def _send(self, missing: Mapping[str, int]) -> int:
        queues = [queue for queue, count in missing.items() for _ in range(count)]
        if queues:
            self._sender.send(queues)
        return len(queues)


class HintPublisher:
    """Publishes in a thread of its own, so that no request waits for a broker that hangs."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._settings = settings
        self._sessions = sessions
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something to publish; returns at once."""
        self._wake.set()

    def close(self) -> None:
        """Stop; what still waits is the keeper's."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        publishing: Hints | None = None
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._stopping.is_set():
                break
            publishing = publishing or Hints(self._settings, self._sessions)
            try:
                publishing.publish()
                self._stopping.wait(_BURST_SECONDS)
            except (BrokerAway, StoreError) as error:
                log.warning("hints wait for the broker: %s", type(error).__name__)
                self._stopping.wait(_REST_SECONDS)
        if publishing is not None:
            publishing.close()
