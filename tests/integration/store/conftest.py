"""Sessions on a database of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from academy.lifecycle import JobKind
from academy.settings import Settings
from academy.store.engine import Sessions, open_sessions
from academy.store.jobs import gangs, jobs, slots, transitions, workers
from academy.store.jobs.slots import Offer
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim

Submit = Callable[..., str]


class Site:
    """Hosts with one worker process for each GPU."""

    def __init__(self, sessions: Sessions, database_url: str) -> None:
        self.sessions = sessions
        self.database_url = database_url
        self.hosts: dict[str, str] = {}

    def host(self, name: str, *devices: str, **more: Any) -> None:
        for device in devices:
            self.hosts[device] = name
            self.see(f"w-{device}", name, [{"uuid": device, "obstacle": None}], **more)

    def see(self, worker: str, host: str, gpus: list[dict[str, Any]], **more: Any) -> None:
        facts = {"queue": "gpu", "host": host, "pid": 1, "versions": {}, "gpus": gpus, **more}
        with self.sessions.begin() as session:
            workers.seen(session, worker, **facts)

    def claim(self, device: str, **offer: Any) -> Job | None:
        """What the worker of a device claims."""
        made = Offer(self.hosts[device], (device,), **offer)
        with self.sessions.begin() as session:
            return transitions.claim(session, "gpu", f"w-{device}", 60, made)

    def got(self, device: str, **offer: Any) -> tuple[str, list[str]] | None:
        job = self.claim(device, **offer)
        return None if job is None else (job.id, job.devices)

    def parts(self, *names: str) -> dict[str, gangs.Part]:
        """The parts in jobs of others that these workers have."""
        with self.sessions() as session:
            found = {name: gangs.part_of(session, name) for name in names}
        return {name: part for name, part in found.items() if part is not None}

    def looks(self, name: str) -> tuple[bool, gangs.Part | None]:
        """What a worker hears between two claims."""
        with self.sessions() as session:
            return gangs.look(session, "gpu", name)

    def end(self, job: Job) -> None:
        held = Claim(job.id, job.fence, job.attempt, job.worker_id or "")
        with self.sessions.begin() as session:
            transitions.finish(session, held, {})

    def waited(self, job_id: str, seconds: int) -> None:
        with psycopg.connect(self.database_url, connect_timeout=10) as connection:
            connection.execute(
                "UPDATE jobs SET created_at = created_at - make_interval(secs => %s) WHERE id = %s",
                (seconds, job_id),
            )

    def taken(self) -> set[str]:
        with self.sessions() as session:
            return set(slots.holders(slots.busy_workers(session)))


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    with open_sessions(Settings().changed(database_url=database_url)) as made:
        yield made


@pytest.fixture
def submit(sessions: Sessions) -> Submit:
    """Submits a training job and returns its id."""

    def submit(**values: object) -> str:
        job = Job(
            id=jobs.new_id(JobKind.TRAINING),
            **{"kind": JobKind.TRAINING, "queue": "gpu", "parameters": {}, **values},
        )
        with sessions.begin() as session:
            transitions.submit(session, job)
        return job.id

    return submit


@pytest.fixture
def site(sessions: Sessions, database_url: str) -> Site:
    return Site(sessions, database_url)
