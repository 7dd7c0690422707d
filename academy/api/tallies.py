"""What the processes of an API count is known to each of them, so that any of them tells it all.

``/metrics`` and ``/status`` are answered by whichever process gets the request. So each tells the
others what it counts, over sockets that were made before any of them was forked.
"""

from __future__ import annotations

import json
import socket
from typing import Any

import gevent

from academy.api.handover import own_end
from academy.web.metrics import Figures

_LONGEST_BYTES = 4096
#: Between two times at which a process tells how many watch there.
_EVERY_SECONDS = 1.0


class Tallies:
    """One queue for each process that answers ``/metrics``.

    Writing never waits: a tally that finds no room is lost, and holds nobody up.
    """

    def __init__(self, processes: int) -> None:
        self._queues = [
            socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(processes)
        ]

    def share(self, figures: Figures, slot: int | None) -> None:
        """Have the process of `slot` count for the others and itself; None: for the others only."""
        others = [writer for number, (_, writer) in enumerate(self._queues) if number != slot]
        figures.report_to([own_end(each, 0.0) for each in others], counts_itself=slot is not None)
        if slot is not None:
            gevent.spawn(_collect, figures, own_end(self._queues[slot][0], None))
        if others:
            gevent.spawn(_tell_watchers, figures, slot)


def _collect(figures: Figures, queue: Any) -> None:
    while tally := queue.recv(_LONGEST_BYTES):
        figures.take(json.loads(tally))


def _tell_watchers(figures: Figures, slot: int | None) -> None:
    while True:
        figures.tell_watchers(-1 if slot is None else slot)
        gevent.sleep(_EVERY_SECONDS)
