"""What ``/metrics`` tells Prometheus."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, workers
from academy.web.watchers import Watchers

log = logging.getLogger(__name__)

_LONGEST_TALLY = 4096
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Stock(Collector):
    """What the database says at the moment it is asked."""

    def __init__(self, settings: Settings, sessions: Sessions, watchers: Watchers) -> None:
        self._settings = settings
        self._sessions = sessions
        self._watchers = watchers

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
            "academy_watchers", "Open event streams of this process", value=len(self._watchers)
        )
        return [of_status, waiting, alive, streams]

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering it asks no database."""
        return []


class Figures:
    """What is counted and timed in this process, beside what the database says."""

    def __init__(self, stock: Stock) -> None:
        self._other: socket.socket | None = None
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

    def report_to(self, other: socket.socket) -> None:
        """Have another process count what is counted here; it reads `other` by `collect_from`."""
        self._other = other

    def collect_from(self, other: socket.socket) -> None:
        """Count what another process reports, for as long as `other` is open."""
        while tally := other.recv(_LONGEST_TALLY):
            self.count(*json.loads(tally))

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer. By its route and not its path: ids would make a series each."""
        if self._other is not None:
            try:
                self._other.send(json.dumps([method, route, status, seconds]).encode())
            except OSError as error:
                log.warning("An answer is not counted: %s", error)
            return
        self._answers.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)
