"""Whoever reads of a worker may drain it at once, also before it listens to its broker."""

from __future__ import annotations

import signal

from tests.integration.workers.conftest import Yard


def test_workers_that_are_told_to_end_while_they_start_end_in_good_order(yard: Yard) -> None:
    started = [yard.program("worker", ["workers", "gpu"], {}) for _ in range(4)]
    for number, each in enumerate(started):
        yard.until(lambda each=each: yard.has_registered(each), "it registers")
        if number % 2:
            yard.drain(each)
        else:
            each.send(signal.SIGTERM)
    yard.until(lambda: not any(each.is_running for each in started), "all have ended")
    assert [each.status for each in started] == [0] * 4
    assert yard.workers() == {}


def test_a_burst_of_signals_ends_a_worker_in_good_order(yard: Yard) -> None:
    worker = yard.program("worker", ["workers", "curation"], {})
    yard.until(lambda: yard.has_registered(worker), "it registers")
    for _ in range(60):
        worker.send(signal.SIGTERM)
    yard.until(lambda: not worker.is_running, "it has ended")
    assert worker.status == 0
