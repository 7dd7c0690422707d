"""The API dies at any moment of a request: what it answered runs, and nothing runs twice."""

from __future__ import annotations

import random
import threading
import time

import httpx

from academy.store import jobs
from tests.faults import invariants
from tests.faults.api import Api
from tests.faults.form import Form
from tests.faults.programs import until
from tests.faults.report import Report
from tests.faults.stack import Stack

#: Clients that post at the same time, so that a kill meets requests in every state.
CLIENTS = 4


def test_what_a_killed_api_answered_runs_and_a_key_makes_one_job(
    stack: Stack, form: Form, report: Report
) -> None:
    row = report.row("API killed before the commit, after it, after publishing", None)
    stack.keeper()
    stack.worker()
    stack.ready(1)
    api = Api(stack)
    by_key: dict[str, set[str]] = {}
    answered = 0
    for number in range(form.rounds(10)):
        keys = [f"round-{number}-{client}" if client % 2 else None for client in range(CLIENTS)]
        stop = threading.Event()
        ids: list[str] = []
        threads = [
            threading.Thread(target=_post, args=(api, key, stop, ids, by_key)) for key in keys
        ]
        for thread in threads:
            thread.start()
        time.sleep(random.uniform(0, 0.15))  # not a wait: the moment of the fault
        api.program.kill()
        api.program.start()
        api.wait()
        stop.set()
        for thread in threads:
            thread.join(60)
        answered += len(ids)
        # A client whose answer was lost asks again with its key, and gets the same job.
        for key in keys:
            if key is not None:
                until(lambda key=key: _repeats(api, key, by_key), 30, "the key is answered")
        row.add()
    for key, made in by_key.items():
        assert len(made) == 1, f"{key} made {made}"
    row.facts |= {"answered": answered, "keys": len(by_key)}
    with stack.sessions() as session:
        found = {job.id for job in jobs.page(session, limit=10_000)}
    assert set(stack.submitted) <= found
    # Jobs whose answer was cut off exist whole or not at all; they run as well.
    for job_id in found:
        stack.submitted.setdefault(job_id, {"steps": 3})
    invariants.check(stack, within=120 * form.times)


def _post(
    api: Api, key: str | None, stop: threading.Event, ids: list[str], by_key: dict[str, set[str]]
) -> None:
    while not stop.is_set():
        try:
            job_id = api.train(key)
        except httpx.HTTPError:
            stop.wait(0.02)  # it is dead, and comes back
            continue
        ids.append(job_id)
        if key is None:
            stop.wait(0.05)
        else:
            by_key.setdefault(key, set()).add(job_id)


def _repeats(api: Api, key: str, by_key: dict[str, set[str]]) -> bool:
    try:
        by_key.setdefault(key, set()).add(api.train(key))
    except httpx.HTTPStatusError as error:
        if error.response.status_code == 409:
            return False  # the killed server's transaction is not over yet
        raise
    return True
