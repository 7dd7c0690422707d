"""Worker processes on hosts with GPUs: slots, strangers, lost devices, drains, other schemas."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from academy.store.jobs import slots, workers
from tests.faults.programs import Program
from tests.integration.workers.conftest import Yard
from tests.nvidia_smi import Driver

A, B = "GPU-aa11", "GPU-bb22"


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    return Driver(tmp_path / "driver", A, B)


def on(driver: Driver, device: str) -> dict[str, str]:
    """The environment of the worker that has this device."""
    return {**driver.environment, "CUDA_VISIBLE_DEVICES": device}


def test_a_wide_job_is_trained_on_all_its_gpus_while_their_workers_take_nothing(
    yard: Yard, driver: Driver
) -> None:
    one, two = yard.worker(on(driver, A)), yard.worker(on(driver, B))
    yard.keeper()
    wide = yard.submit(2000, gpus=2)
    yard.until(lambda: bool(yard.ledger(wide, "began")), "the wide job runs")
    began = yard.ledger(wide, "began")[0]
    job = yard.job(wide)
    assert sorted(job.devices) == [A, B]
    seen = psutil.Process(began["pid"]).environ()["CUDA_VISIBLE_DEVICES"]
    assert seen == ",".join(job.devices)
    holder, other = (one, two) if yard.worker_of(one).id == job.worker_id else (two, one)
    narrow = yard.submit(5)
    yard.until(
        lambda: f"reserved for the job {wide}" in str(yard.worker_of(other).obstacle),
        "the other worker says that its GPU is reserved",
    )
    shown = yard.worker_of(holder)
    assert shown.obstacle is None and shown.versions["academy"] and shown.versions["schema"]
    assert shown.gpus[0]["driver"] == "570.86.15" and shown.memory_bytes and shown.cpus
    assert yard.job(narrow).status == "queued"
    yard.drain(holder)  # the wide job lets go of both, and waits for a second GPU again
    yard.until(lambda: not holder.is_running, "the drained worker ends")
    yard.until(lambda: yard.job(narrow).status == "finished", "the narrow job runs")
    assert yard.job(narrow).devices == yard.worker_of(other).gpus[0]["uuid"].split()
    assert yard.job(wide).crashes == 0 and yard.reasons(wide)[-1] == "drained"
    with yard.sessions() as session:
        why = slots.why_waiting(session, yard.job(wide), 60)
        assert why is not None and "asks for 2 GPUs of one host" in why


def test_a_worker_uses_no_gpu_where_they_are_switched_off(yard: Yard, driver: Driver) -> None:
    worker = yard.worker({**on(driver, A), "ACADEMY_ENABLE_GPU": "false"})
    yard.keeper()
    job = yard.submit(400)
    yard.until(lambda: bool(yard.ledger(job, "began")), "the job runs on the CPU")
    trainer = psutil.Process(yard.ledger(job, "began")[0]["pid"])
    assert trainer.environ()["CUDA_VISIBLE_DEVICES"] == ""
    assert yard.worker_of(worker).gpus == [] and not yard.job(job).devices


def test_a_gpu_that_a_stranger_uses_takes_no_job_until_it_is_free(
    yard: Yard, driver: Driver
) -> None:
    driver.run((A, 1, "2048"))
    worker = yard.worker(on(driver, A))
    yard.keeper()
    assert "in use by a process that is not Academy's: 1 " in str(yard.worker_of(worker).obstacle)
    job = yard.submit(5)
    yard.until(lambda: "takes no jobs" in worker.log.read_text(), "the log says why")
    assert yard.worker_of(worker).gpus[0]["obstacle"]
    assert yard.job(job).status == "queued"
    driver.run()
    yard.until(lambda: yard.job(job).status == "finished", "the job runs once the GPU is free")
    assert yard.worker_of(worker).obstacle is None
    assert "takes jobs again" in worker.log.read_text()


def test_a_job_whose_gpu_vanishes_goes_on_at_another_one(yard: Yard, driver: Driver) -> None:
    first = yard.worker(on(driver, A))
    yard.keeper()
    job = yard.submit(400)
    yard.until(lambda: len(yard.ledger(job, "checkpoint")) > 1, "a checkpoint is written")
    driver.plug(B)
    yard.until(lambda: "retry" in yard.reasons(job), "the job is retried")
    detail = yard.detail(job, "retry")
    with yard.sessions() as session:
        assert detail["code"] == "device_lost" and A in detail["message"] and detail["next_step"]
        assert slots.holders(slots.busy_workers(session)) == {}
    yard.until(lambda: "does not show" in str(yard.worker_of(first).obstacle), "it is withdrawn")
    second = yard.worker(on(driver, B))
    yard.until(lambda: yard.job(job).status == "finished", "the other GPU takes it up")
    assert yard.job(job).devices == [B]
    assert yard.ledger(job, "began")[-1]["first_step"] > 1
    assert first.is_running and second.is_running


def test_a_rolling_restart_loses_no_step_beyond_the_last_checkpoint_and_counts_no_crash(
    yard: Yard,
) -> None:
    running = [yard.worker(), yard.worker()]
    yard.keeper()
    ids = [yard.submit(500) for _ in range(2)]
    yard.until(lambda: all(yard.ledger(each, "began") for each in ids), "both jobs run")
    for index, drained in enumerate(list(running)):
        busy = [each for each in ids if yard.job(each).worker_id == yard.worker_of(drained).id]
        yard.drain(drained)
        yard.until(lambda drained=drained: not drained.is_running, "it ends by itself")  # type: ignore[misc]
        assert drained.status == 0
        running[index] = yard.worker()
        yard.until(
            lambda busy=busy: all(yard.moved_on(each) for each in busy),  # type: ignore[misc]
            "what it had goes on elsewhere",
        )
    yard.until(lambda: all(yard.job(each).status == "finished" for each in ids), "both finish")
    assert "drained" in {reason for each in ids for reason in yard.reasons(each)}
    for each in ids:
        job = yard.job(each)
        assert job.crashes == 0
        assert not {"lease_lost", "retry"} & set(yard.reasons(each))
        # SIGTERM writes a checkpoint of the step it came in, so every attempt begins after it.
        begun = yard.ledger(each, "began")
        saved = yard.ledger(each, "checkpoint")
        for before, after in itertools.pairwise(begun):
            last = max(c["step"] for c in saved if c["attempt"] <= before["attempt"])
            assert after["first_step"] == last + 1


def test_a_worker_stops_claiming_when_the_schema_changes_and_goes_on_when_it_is_back(
    yard: Yard,
) -> None:
    worker, keeper = yard.worker(), yard.keeper()
    yard.until(lambda: "keeper started" in keeper.log.read_text(), "the keeper starts")

    def set_revision(revision: str) -> str:
        with psycopg.connect(yard.settings.postgres.url, connect_timeout=10) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            connection.execute("UPDATE alembic_version SET version_num = %s", (revision,))
        assert row is not None
        return str(row[0])

    ours = set_revision("9999")
    job = yard.submit(5)
    yard.until(lambda: "revision 9999" in str(yard.worker_of(worker).obstacle), "it says so")
    assert worker.is_running and yard.job(job).status == "queued"
    said = [json.loads(line) for line in worker.log.read_text().splitlines() if line[:1] == "{"]
    assert sum("takes no jobs: the schema is at" in line["message"] for line in said) == 1
    # One that starts now is refused with a line, not with a traceback.
    for module in (["workers", "gpu"], ["workers.keeper"]):
        late = yard.program("late", module, {})
        yard.until(lambda late=late: not late.is_running, "the late process ends")  # type: ignore[misc]
        (line,) = [json.loads(each) for each in late.log.read_text().splitlines()]
        assert (late.status, line["code"]) == (1, "schema_mismatch"), line
        assert "academy migrate" in line["message"]
    set_revision(ours)
    yard.until(lambda: yard.job(job).status == "finished", "it goes on")


def test_a_worker_bears_what_is_no_hint_of_ours(yard: Yard) -> None:
    worker = yard.worker()
    with redis.Redis.from_url(yard.settings.redis.url, socket_timeout=10) as client:
        client.lpush("gpu", _message("academy.unknown"))
        client.lpush("tpu", _message("academy.train"))  # nobody reads it
        yard.keeper()
        job = yard.submit(5)
        yard.until(lambda: yard.job(job).status == "finished", "the job runs")
        assert client.llen("tpu") == 1 and worker.is_running


def test_a_worker_that_breaks_off_does_not_end_as_if_it_was_drained(yard: Yard) -> None:
    """Celery gives up at what is no JSON at all; whoever supervises the worker starts it again."""
    worker = yard.worker()
    with redis.Redis.from_url(yard.settings.redis.url, socket_timeout=10) as client:
        client.lpush("gpu", "no JSON")
    yard.until(lambda: not worker.is_running, "it ends")
    assert worker.status == 1 and "Unrecoverable error" in worker.log.read_text()
    assert yard.workers() == {}


def _message(task: str) -> str:
    return json.dumps(
        {
            "body": "W1tdLCB7fSwgbnVsbF0=",  # [[], {}, null]
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": task, "id": "1", "argsrepr": "", "kwargsrepr": ""},
            "properties": {
                "correlation_id": "1",
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "gpu"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": "1",
            },
        }
    )


@pytest.mark.parametrize(
    ("warm", "command", "said"),
    [
        ("warm_commands", ["academy.cli", "worker", "--queue", "tpu"], "tpu"),
        ("warm_workers", ["workers", "tpu"], "invalid choice: 'tpu'"),
    ],
)
def test_an_unknown_queue_is_named(
    request: pytest.FixtureRequest, warm: str, command: list[str], said: str
) -> None:
    done = request.getfixturevalue(warm).run(*command, env=os.environ)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_a_gpu_that_is_not_there_is_named_at_the_start(yard: Yard, driver: Driver) -> None:
    program: Program = yard.program("wrong", ["workers", "gpu"], on(driver, "GPU-cc33"))
    yard.until(lambda: not program.is_running, "it ends")
    (line,) = [json.loads(each) for each in program.log.read_text().splitlines()]
    assert (program.status, line["code"]) == (1, "gpu_missing") and "GPU-cc33" in line["message"]
    assert os.environ.get("CUDA_VISIBLE_DEVICES") != "GPU-cc33"


def test_a_supervised_worker_that_was_drained_is_not_started_again(
    yard: Yard, driver: Driver
) -> None:
    """`academy worker` has one process for each GPU, and ends when all of them were drained."""
    command = yard.program(
        "command", ["academy.cli", "worker", "--queue", "gpu"], driver.environment
    )
    yard.until(lambda: len(yard.workers()) == 2, "a process for each GPU registers")
    found = {each.gpus[0]["uuid"]: each.id for each in yard.workers().values()}
    assert sorted(found) == [A, B]
    with yard.sessions.begin() as session:
        workers.request_drain(session, found[A])
    yard.until(lambda: "was drained and stays ended" in command.log.read_text(), "it is left alone")
    assert list(yard.workers()) == [found[B]] and command.is_running
    with yard.sessions.begin() as session:
        workers.request_drain(session, found[B])
    yard.until(lambda: not command.is_running, "the command ends")
    assert command.status == 0 and yard.workers() == {}
