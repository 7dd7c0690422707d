"""Valkey goes away, forgets, or hangs: running jobs do not notice, waiting ones start again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from tests.faults import invariants
from tests.faults.api import Api
from tests.faults.form import START_SECONDS, Form
from tests.faults.programs import until
from tests.faults.proxy import Proxy
from tests.faults.report import Report
from tests.faults.stack import Stack, through
from workers.app import HintSender

#: Celery's own waits (socket time-outs, pauses between connects) are no settings and do not shrink.
UNSCALED_SECONDS = 15.0


def stop(seconds: float) -> Callable[[Stack, Form], None]:
    def fault(stack: Stack, form: Form) -> None:
        stack.servers.valkey.stop()
        threading.Event().wait(seconds)  # the length of the outage, not a wait
        stack.servers.valkey.start()

    return fault


def restart_20_times(stack: Stack, form: Form) -> None:
    for _ in range(20):
        stack.servers.valkey.stop()
        stack.servers.valkey.start()


def flush(stack: Stack, form: Form) -> None:
    with redis.Redis.from_url(stack.settings.redis_url, socket_timeout=10) as client:
        client.flushall()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("Valkey stopped 5 s", stop(5)),
        ("Valkey stopped 60 s (10 s in the short form)", None),
        ("FLUSHALL", flush),
        ("Valkey restarted 20 times in a row", restart_20_times),
    ],
    ids=["5 s", "long", "FLUSHALL", "20 restarts"],
)
def test_no_running_job_dies_and_waiting_ones_start(
    stack: Stack,
    form: Form,
    report: Report,
    name: str,
    fault: Callable[[Stack, Form], None] | None,
) -> None:
    limit = max(form.limit(60), UNSCALED_SECONDS + START_SECONDS)
    row = report.row(f"{name}: consuming again", limit)
    stack.keeper()
    stack.worker()
    idle = stack.worker()
    stack.ready(2)
    running = stack.submit(steps=40_000, seconds=0.05)
    until(lambda: bool(stack.attempts_begun(running)), 30, lambda: stack.logs())
    (fault or stop(60 if form.scale == 1 else 10))(stack, form)
    job_id = stack.submit(steps=3, seconds=0.01)
    row.add(until(lambda: bool(stack.attempts_begun(job_id)), limit, lambda: stack.logs()))
    assert idle.is_running
    assert len(stack.attempts_begun(running)) == 1
    assert stack.is_(running, "running")()
    stack.cancel(running)
    invariants.check(stack)


@pytest.fixture
def proxy(stack: Stack) -> Iterator[Proxy]:
    made = Proxy(stack.servers.valkey.port)
    yield made
    made.close()


def test_a_valkey_that_drops_every_packet_slows_no_client_and_is_found_again(
    stack: Stack, form: Form, report: Report, proxy: Proxy
) -> None:
    limit = max(form.limit(75), 75.0)
    row = report.row("Valkey half-open: consuming again", limit)
    # The short form posts for 15 s only, so its p99 is the slowest post of all.
    posts = report.row("POST /train meanwhile, p99", 2.0)
    hung = through(proxy, stack.settings.redis_url)
    stack.keeper(redis_url=hung)
    stack.worker(redis_url=hung)
    stack.ready(1)
    api = Api(stack, redis_url=hung)
    first = api.train()
    until(stack.is_(first, "finished"), 60, lambda: stack.logs())
    # It freezes while the worker takes hint after hint, so that one is half taken.
    HintSender(stack.settings).send(["gpu"] * 300)
    with redis.Redis.from_url(stack.settings.redis_url, socket_timeout=10) as broker:
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
    until(lambda: any_begun(stack), limit, lambda: stack.logs())
    row.add(until(lambda: stack.idle(), limit, lambda: stack.logs()))
    posts.times = len(taken)
    posts.seconds = [round(sorted(taken)[int(len(taken) * 0.99)], 3)]
    assert posts.seconds[0] < 2.0, sorted(taken)[-10:]
    invariants.check(stack)


def any_begun(stack: Stack) -> bool:
    return sum(bool(stack.attempts_begun(each)) for each in stack.submitted) > 1
