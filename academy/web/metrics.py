"""What ``/metrics`` tells Prometheus."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, workers
from academy.web.live.switchboard import Switchboard

log = logging.getLogger(__name__)

#: What another process said is forgotten so long after.
_STALE_SECONDS = 5.0
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Stock(Collector):
    """What the database says at the moment it is asked."""

    def __init__(self, settings: Settings, sessions: Sessions, switchboard: Switchboard) -> None:
        self._settings = settings
        self._sessions = sessions
        self.switchboard = switchboard
        #: By the number of another process: how many watch there, and when it said so.
        self.watchers_elsewhere: dict[int, tuple[int, float]] = {}

    def collect(self) -> Iterable[Metric]:
        """Jobs by status, queue depths, live workers, open event streams."""
        with self._sessions() as session:
            counts = jobs.counts(session)
            depths = jobs.queue_depths(session)
            live = workers.alive(session, seen_within_seconds=self._settings.jobs.lease_seconds)
        of_status = GaugeMetricFamily("academy_jobs", "Jobs in each status", labels=["status"])
        for status, count in counts.items():
            of_status.add_metric([status], count)
        waiting = GaugeMetricFamily("academy_queue_depth", "Jobs that wait", labels=["queue"])
        for queue, depth in depths.items():
            waiting.add_metric([queue], depth)
        alive = GaugeMetricFamily("academy_workers", "Live workers", labels=["queue"])
        for queue in sorted({each.queue for each in live}):
            alive.add_metric([queue], sum(each.queue == queue for each in live))
        streams = GaugeMetricFamily(
            "academy_watchers", "Open event streams of this API", value=self.watchers()
        )
        followed = GaugeMetricFamily(
            "academy_followed_jobs",
            "Jobs whose events this process follows",
            value=len(self.switchboard.followed),
        )
        return [of_status, waiting, alive, streams, followed]

    def watchers(self) -> int:
        """Open event streams here and elsewhere."""
        lately = time.monotonic() - _STALE_SECONDS
        elsewhere = sum(count for count, at in self.watchers_elsewhere.values() if at > lately)
        return len(self.switchboard) + elsewhere

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering it asks no database."""
        return []


class Figures:
    """What is counted and timed in this process, beside what the database says."""

    def __init__(self, stock: Stock) -> None:
        self._stock = stock
        self._others: Sequence[socket.socket] = ()
        self._counts_itself = True
        self.registry = CollectorRegistry()
        self.registry.register(stock)
        self._answers = Counter(
            "academy_http_requests",
            "Answers",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "academy_http_request_seconds",
            "Time until an answer's headers",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def report_to(self, others: Sequence[socket.socket], *, counts_itself: bool) -> None:
        """Have other processes count what is counted here; they `take` what comes there."""
        self._others = others
        self._counts_itself = counts_itself

    def take(self, tally: list[Any]) -> None:
        """Count what another process reports."""
        if tally[0] == "watchers":
            self._stock.watchers_elsewhere[tally[1]] = (tally[2], time.monotonic())
        else:
            self._count(*tally[1:])

    def tell_watchers(self, process: int) -> None:
        """Report how many watch at this process, which the others know by its number."""
        self._report(["watchers", process, len(self._stock.switchboard)])

    def watchers(self) -> int:
        """Open event streams of all processes, as far as they told lately."""
        return self._stock.watchers()

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer. By its route and not its path: ids would make a series each."""
        self._report(["answer", method, route, status, seconds])
        if self._counts_itself:
            self._count(method, route, status, seconds)

    def _report(self, tally: list[Any]) -> None:
        for each in self._others:
            try:
                each.send(json.dumps(tally).encode())
            except OSError as error:
                log.warning("Something is not counted: %s", error)

    def _count(self, method: str, route: str, status: int, seconds: float) -> None:
        self._answers.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)
