"""Valkey goes away, forgets, or hangs: running jobs do not notice, waiting ones start again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import redis

from tests.faults import invariants
from tests.faults.api import Api
from tests.faults.form import START_SECONDS, Form
from tests.faults.proxy import Proxy
from tests.faults.report import Report, Row
from tests.faults.stack import Stack, through
from tests.waiting import until

#: Celery's own waits (socket time-outs, pauses between connects) are no settings and do not shrink.
UNSCALED_SECONDS = 15.0
#: They grow with an outage, so the long one is as long in the short form as in the long one.
LONG_OUTAGE_SECONDS = 60.0


@dataclass(frozen=True)
class Away:
    """A stack whose Valkey was stopped while a job was running."""

    stack: Stack
    running: str
    since: float


@pytest.fixture(scope="module", autouse=True)
def away(open_stack: Callable[..., Stack], request: pytest.FixtureRequest) -> Iterator[Away | None]:
    """Begins first, so that the minute passes while the other tests of this file run."""
    wanted = test_a_valkey_that_was_away_for_a_minute_is_found_again.__name__
    if not any(each.name == wanted for each in request.session.items):
        yield None
        return
    stack = open_stack()
    running = _with_a_running_job(stack)
    stack.valkey.stop()
    yield Away(stack, running, time.monotonic())
    stack.close()


@pytest.fixture(scope="module")
def shared(open_stack: Callable[..., Stack]) -> Iterator[Away]:
    """One job runs through all the short faults."""
    stack = open_stack()
    yield Away(stack, _with_a_running_job(stack), time.monotonic())
    stack.close()


def stop_5_s(stack: Stack) -> None:
    stack.valkey.stop()
    threading.Event().wait(5)  # the length of the outage, not a wait
    stack.valkey.start()


def restart_20_times(stack: Stack) -> None:
    for _ in range(20):
        stack.valkey.stop()
        stack.valkey.start()


def flush(stack: Stack) -> None:
    with redis.Redis.from_url(stack.settings.redis.url, socket_timeout=10) as client:
        client.flushall()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Valkey stopped 5 s", stop_5_s),
        ("FLUSHALL", flush),
        ("Valkey restarted 20 times in a row", restart_20_times),
    ],
    ids=["5 s", "FLUSHALL", "20 restarts"],
)
def test_no_running_job_dies_and_waiting_ones_start(
    shared: Away, form: Form, report: Report, name: str, fault: Callable[[Stack], None]
) -> None:
    row = report.row(f"{name}: consuming again", _limit(form))
    fault(shared.stack)
    _consumes_again(shared, row, form)


@pytest.fixture
def proxy(stack: Stack) -> Iterator[Proxy]:
    made = Proxy(stack.valkey.port)
    yield made
    made.close()


def test_a_valkey_that_drops_every_packet_slows_no_client_and_is_found_again(
    stack: Stack, form: Form, report: Report, proxy: Proxy
) -> None:
    limit = max(form.limit(75), 75.0)
    row = report.row("Valkey half-open: consuming again", limit)
    # The fault lasts 15 s in which some 50 posts fit, so its p99 is the slowest post of all.
    posts = report.row("POST /train meanwhile, p99", 2.0)
    hung = through(proxy, stack.settings.redis.url)
    stack.keeper(redis_url=hung)
    stack.crew(1, redis_url=hung)
    api = Api(stack, redis_url=hung)
    first = api.train()
    until(stack.is_(first, "finished"), 60, lambda: stack.logs())
    # It freezes while the worker takes hint after hint, so that one is half taken.
    stack.hint(300)
    with redis.Redis.from_url(stack.settings.redis.url, socket_timeout=10) as broker:
        until(lambda: broker.llen("gpu") < 250, 30, lambda: stack.logs(), poll=0.001)
    proxy.freeze()
    taken = []
    until_when = time.monotonic() + 15.0
    while time.monotonic() < until_when:
        began = time.monotonic()
        api.train()
        taken.append(time.monotonic() - began)
        threading.Event().wait(0.2)  # a client that comes five times a second
    proxy.thaw(forget=True)
    row.add(until(lambda: stack.idle(), limit, lambda: stack.logs()))
    posts.times = len(taken)
    posts.seconds = [round(sorted(taken)[int(len(taken) * 0.99)], 3)]
    assert posts.seconds[0] < 2.0, sorted(taken)[-10:]
    invariants.check(stack)


def test_a_valkey_that_was_away_for_a_minute_is_found_again(
    away: Away, form: Form, report: Report
) -> None:
    row = report.row("Valkey stopped 60 s: consuming again", _limit(form))
    rest = LONG_OUTAGE_SECONDS - (time.monotonic() - away.since)
    threading.Event().wait(max(0.0, rest))  # the length of the outage, not a wait
    away.stack.valkey.start()
    _consumes_again(away, row, form)


def _limit(form: Form) -> float:
    return max(form.limit(60), UNSCALED_SECONDS + START_SECONDS)


def _with_a_running_job(stack: Stack) -> str:
    """A keeper, a busy worker and an idle one."""
    stack.keeper()
    stack.crew(2)
    running = stack.submit(steps=100_000)
    until(lambda: bool(stack.attempts_begun(running)), 30, lambda: stack.logs())
    return running


def _consumes_again(where: Away, row: Row, form: Form) -> None:
    """The idle worker takes a new job; the running one was not touched. All jobs end then."""
    stack = where.stack
    job_id = stack.submit(steps=3, seconds=0.01)
    row.add(until(lambda: bool(stack.attempts_begun(job_id)), _limit(form), lambda: stack.logs()))
    until(stack.is_(job_id, "finished"), 30, lambda: stack.logs())
    assert all(each.is_running for each in stack.programs)
    assert len(stack.attempts_begun(where.running)) == 1
    assert stack.is_(where.running, "running")()


def test_the_jobs_that_ran_through_it_all_can_be_ended(shared: Away) -> None:
    shared.stack.cancel(shared.running)
    invariants.check(shared.stack)
