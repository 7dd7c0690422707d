"""A worker that stands still or is cut off from Postgres loses its job and stays harmless."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from academy.host.processes import is_alive
from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.lanes import side_by_side
from tests.faults.programs import Program
from tests.faults.proxy import Proxy
from tests.faults.report import Report
from tests.faults.stack import Stack, through
from tests.waiting import until

#: Workers that the fault befalls at the same time, and as many that take their jobs over.
PAIRS = 5


@dataclass(frozen=True)
class Crew:
    """Workers behind a proxy each, and workers that nothing happens to."""

    stack: Stack
    proxies: list[Proxy]
    behind: list[Program]
    others: list[Program]


@pytest.fixture(scope="module")
def crew(open_stack: Callable[..., Stack]) -> Iterator[Crew]:
    stack = open_stack()
    stack.keeper()
    proxies = [Proxy(stack.postgres.port) for _ in range(PAIRS)]
    urls = [through(each, stack.settings.postgres.url) for each in proxies]
    behind = [stack.worker(database_url=url) for url in urls]
    yield Crew(stack, proxies, behind, stack.crew(PAIRS))
    stack.close()
    for each in proxies:
        each.close()


def stand_still(crew: Crew) -> None:
    for worker in crew.behind:
        worker.freeze()


def go_on(crew: Crew) -> None:
    for worker in crew.behind:
        worker.thaw()


def refuse(crew: Crew) -> None:
    for proxy in crew.proxies:
        proxy.cut()


def drop(crew: Crew) -> None:
    for proxy in crew.proxies:
        proxy.freeze()


def forward(crew: Crew) -> None:
    for proxy in crew.proxies:
        proxy.thaw()


def forward_but_forget(crew: Crew) -> None:
    for proxy in crew.proxies:
        proxy.thaw(forget=True)


@pytest.mark.parametrize(
    ("name", "begin", "end", "at_least_seconds"),
    [
        ("worker stopped (SIGSTOP) 90 s", stand_still, go_on, 90),
        ("worker cut off from Postgres (refused)", refuse, forward, 0),
        ("worker cut off from Postgres (dropped)", drop, forward, 0),
        ("worker cut off from Postgres (dropped, then forgotten)", drop, forward_but_forget, 0),
    ],
    ids=["SIGSTOP", "refused", "dropped", "dropped, then forgotten"],
)
def test_a_worker_that_is_away_finds_its_job_taken_and_stops(
    crew: Crew,
    form: Form,
    report: Report,
    name: str,
    begin: Callable[[Crew], None],
    end: Callable[[Crew], None],
    at_least_seconds: float,
) -> None:
    stack = crew.stack
    for worker in (*crew.behind, *crew.others):
        worker.thaw()  # a fault before this one may have failed in its middle
    found = report.row(f"{name}: second owner", form.limit(90))
    dead = report.row(f"{name}: back, and its trainer is dead", form.limit(15))
    for number in range(max(1, form.rounds(5) // PAIRS)):
        hurry = stack.sign(f"{name} {number}")
        ids = _trained_behind_the_proxies(crew, str(hurry))
        trainers = [stack.trainer_pid(each) for each in ids]
        began = time.monotonic()
        begin(crew)

        def taken_over(job_id: str, began: float = began) -> None:
            until(
                lambda: len(stack.attempts_begun(job_id)) == 2,
                form.limit(90),
                lambda: f"a second owner: {stack.not_over()}\n{stack.logs()}",
            )
            found.add(time.monotonic() - began)

        side_by_side(taken_over, ids)
        assert all(is_alive(each) for each in trainers), "blind, they go on"
        rest = form.seconds(at_least_seconds) - (time.monotonic() - began)
        threading.Event().wait(max(0.0, rest))  # the length of the fault, not a wait
        back = time.monotonic()
        end(crew)

        def gone(trainer: int, back: float = back) -> None:
            until(lambda: not is_alive(trainer), form.limit(15), lambda: stack.logs())
            dead.add(time.monotonic() - back)

        side_by_side(gone, trainers)
        hurry.touch()
        until(stack.all_are(ids, "finished"), 60, lambda: f"{stack.not_over()}\n{stack.logs()}")
        for each in ids:
            assert len(stack.attempts_begun(each)) == 2, f"{stack.ledger(each)}\n{stack.logs()}"
    assert all(each.is_running for each in (*crew.behind, *crew.others))
    invariants.check(stack)


def _trained_behind_the_proxies(crew: Crew, hurry: str) -> list[str]:
    """Jobs that the workers behind the proxies train, with a checkpoint each."""
    stack = crew.stack
    for worker in crew.others:
        worker.freeze()
    # They last until they are told to hurry, so that none ends before its second owner begins.
    seconds = stack.form.seconds(10) / 5
    ids = [stack.submit(steps=2_000, seconds=seconds, hurry=hurry) for _ in range(PAIRS)]
    until(
        lambda: all(stack.reached(each, 5)() for each in ids),
        90,
        lambda: f"all are trained\n{stack.logs()}",
    )
    # A checkpoint is the owner's once it is recorded, and only then progress.
    until(lambda: all(stack.job(each).checkpoint for each in ids), 30, lambda: stack.logs())
    for worker in crew.others:
        worker.thaw()
    assert {stack.owner_of(each) for each in ids} == set(crew.behind), stack.logs()
    return ids
