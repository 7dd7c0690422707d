"""A worker process looks at its GPUs before it takes the part that it was given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from academy.lifecycle import JobKind, MemberStatus
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import gangs, jobs, transitions, workers
from academy.store.jobs.slots import Offer
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim
from tests.nvidia_smi import Driver
from workers.process import WorkerProcess

A = "GPU-aa11"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver(tmp_path / "driver", A)
    made.use(monkeypatch)
    return made


@pytest.fixture
def process(settings: Settings, driver: Driver) -> Iterator[WorkerProcess]:
    """A process that has registered and whose next heart-beat is far away."""
    calm = settings.changed(heartbeat_seconds=600.0, lease_seconds=600.0, host_name="b")
    made = WorkerProcess(calm, "gpu", end=lambda: None)
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("trouble", ["none", "stranger", "gone"])
def test_a_part_on_a_gpu_that_is_in_use_or_gone_is_given_back(
    process: WorkerProcess, driver: Driver, sessions: Sessions, trouble: str
) -> None:
    with sessions.begin() as session:
        known = next(each for each in workers.alive(session, seen_within_seconds=60))
        gpus = [{"uuid": "GPU-zz99", "obstacle": None}]
        facts = {"queue": "gpu", "host": "a", "pid": 1, "versions": known.versions, "gpus": gpus}
        workers.seen(session, "leader", **facts)
        job = Job(
            id=jobs.new_id(JobKind.TRAINING),
            kind=JobKind.TRAINING,
            queue="gpu",
            parameters={"hosts": 2},
        )
        transitions.submit(session, job)
    with sessions.begin() as session:
        led = transitions.claim(session, "gpu", "leader", 60, Offer("a", ("GPU-zz99",)))
    part = process.part()
    assert led is not None and part is not None and part.devices == (A,)
    if trouble == "stranger":
        driver.run((A, 1, "2048"))
    elif trouble == "gone":
        driver.plug()
    assert process.gives_back(part) == (trouble != "none")
    with sessions.begin() as session:
        [member] = gangs.members(session, Claim(led.id, led.fence, led.attempt, "leader"))
        shown = next(
            each for each in workers.alive(session, seen_within_seconds=60) if each.host == "b"
        )
    if trouble == "none":
        assert member.status == MemberStatus.INVITED
    else:
        assert member.status == MemberStatus.LEFT and process.part() is None
        assert shown.gpus[0]["obstacle"] and shown.obstacle
