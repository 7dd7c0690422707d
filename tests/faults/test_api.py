"""The API dies at a named moment of a request: what it answered runs, and nothing runs twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from academy.store.jobs import jobs
from tests.faults import invariants
from tests.faults.api import Api
from tests.faults.form import Form
from tests.faults.lanes import side_by_side
from tests.faults.proxy import Proxy, Trap
from tests.faults.report import Report, Row
from tests.faults.stack import Stack, through
from tests.waiting import until

#: Requests at the same time. The first to reach the moment is the one that the kill is placed in;
#: the others are wherever they are then. Every second one has an ``Idempotency-Key``.
REQUESTS = 4


@dataclass(frozen=True)
class Moment:
    """A moment on the wire between the API and one of its servers."""

    name: str
    server: str
    first: bytes
    then: bytes
    answered: bool


MOMENTS = [
    Moment("before the commit", "postgres", b"INSERT INTO jobs", b"COMMIT", answered=False),
    Moment("after the commit", "postgres", b"INSERT INTO jobs", b"COMMIT", answered=True),
    Moment("after publishing", "valkey", b"LPUSH", b"LPUSH", answered=True),
]


def test_what_a_killed_api_answered_runs_and_a_key_makes_one_job(
    stack: Stack, form: Form, report: Report
) -> None:
    stack.keeper()
    stack.crew(2)
    side_by_side(lambda moment: _kill_again_and_again(stack, form, report, moment), MOMENTS)
    with stack.sessions() as session:
        found = {job.id for job in jobs.page(session, limit=10_000)}
    assert set(stack.submitted) <= found
    # Jobs whose answer was cut off exist whole or not at all; they run as well.
    for job_id in found:
        stack.submitted.setdefault(job_id, {"steps": 3})
    invariants.check(stack, within=120 * form.times)
    assert {stack.job(each).status for each in stack.submitted} == {"finished"}


def _kill_again_and_again(stack: Stack, form: Form, report: Report, moment: Moment) -> None:
    row = report.row(f"API killed {moment.name}")
    row.facts |= {"answered": 0, "cut_off": 0}
    port = getattr(stack, moment.server).port
    proxy = Proxy(port)
    try:
        if moment.server == "postgres":
            api = Api(stack, database_url=through(proxy, stack.settings.postgres.url))
        else:
            api = Api(stack, redis_url=through(proxy, stack.settings.redis.url))
        for number in range(form.rounds(10)):
            _kill_once(stack, api, proxy, moment, row, f"{moment.name} {number}")
            row.add()
    finally:
        proxy.close()


def _kill_once(stack: Stack, api: Api, proxy: Proxy, moment: Moment, row: Row, name: str) -> None:
    by_key: dict[str, set[str]] = {f"{name} {each}": set() for each in range(1, REQUESTS, 2)}
    action: Callable[[], None] = api.program.kill_at_once
    proxy.set_trap(Trap(moment.first, moment.then, moment.answered, action))

    def post(key: str | None) -> None:
        try:
            made = api.train(key)
        except httpx.HTTPError:
            row.count("cut_off")
            return
        row.count("answered")
        if key is not None:
            by_key[key].add(made)

    side_by_side(post, [*by_key, *[None] * (REQUESTS - len(by_key))])
    # While hints wait for busy workers no further one is published, so not every request has one.
    until(
        lambda: not proxy.is_set or (stack.idle() and bool(post(None))),
        30,
        lambda: f"{moment}\n{stack.logs()}",
    )
    api.program.kill()
    api.program.start()
    api.wait()
    # A client whose answer was lost asks again with its key, and gets the same job.
    for key, made in by_key.items():
        until(lambda key=key, made=made: _repeats(api, key, made), 30, f"{key} is answered")
        assert len(made) == 1, f"{key} made {made}"


def _repeats(api: Api, key: str, made: set[str]) -> bool:
    try:
        made.add(api.train(key))
    except httpx.HTTPStatusError as error:
        if error.response.status_code == 409:
            return False  # the killed server's transaction is not over yet
        raise
    return True
