"""Trainings in real containers, from the request to the adapter, and every way that they end."""

from __future__ import annotations

import shutil
import threading

import pytest

import docker
from academy.lifecycle import FailureCode, Reason, Status
from academy.store.jobs import jobs, transitions
from tests.integration.launchers.trainings import Trainings
from tests.waiting import until

pytestmark = pytest.mark.slow

LONG = {"num_epochs": 100, "checkpoint_interval_steps": 5}


def test_a_training_in_a_container_leaves_an_adapter_and_no_container(
    trainings: Trainings,
) -> None:
    job = trainings.carry_out(trainings.submit(num_epochs=1))
    assert job.status == Status.FINISHED, (job.failure_message, trainings.said(job.id)[-20:])
    assert job.result is not None
    assert any(each.startswith("Training in a container of") for each in trainings.said(job.id))


def test_a_drain_lets_the_container_write_a_checkpoint_that_the_next_one_goes_on_from(
    trainings: Trainings,
) -> None:
    job, draining = trainings.submit(**LONG), threading.Event()
    work = threading.Thread(target=trainings.carry_out, args=(job, draining))
    work.start()
    until(lambda: trainings.step(job.id), 60, "a step")
    draining.set()
    work.join(timeout=60)
    stopped = trainings.job(job.id)
    assert stopped.status == Status.QUEUED and stopped.checkpoint is not None
    with trainings.sessions() as session:
        assert jobs.transitions(session, job.id)[-1].reason == Reason.DRAINED
    with trainings.sessions.begin() as session:
        again = transitions.claim(session, "gpu", "worker-2", trainings.settings.jobs.lease_seconds)
    assert again is not None
    work = threading.Thread(target=trainings.carry_out, args=(again,))
    work.start()
    step = stopped.checkpoint["step"]
    until(lambda: (trainings.job(job.id).progress or {}).get("step", 0) > step, 60, "a later step")
    with trainings.sessions.begin() as session:
        transitions.request_cancel(session, job.id)
    work.join(timeout=60)
    assert trainings.job(job.id).status == Status.CANCELLED
    assert any(f"step {step}" in each for each in trainings.said(job.id))


def test_a_container_past_its_memory_limit_is_out_of_memory(trainings: Trainings) -> None:
    job = trainings.submit(num_epochs=1, limits={"memory_bytes": 100 << 20})
    trainings.carry_out(job)
    failure = trainings.failure(job.id)
    assert failure["code"] == FailureCode.OUT_OF_MEMORY, failure
    assert "limits.memory_bytes" in failure["next_step"]


def test_a_container_past_its_time_is_ended(trainings: Trainings) -> None:
    for limits, code in (
        ({"wall_seconds": 3.0}, FailureCode.TIMEOUT),
        ({"cpu_seconds": 4.0}, FailureCode.CPU_TIME_EXCEEDED),
    ):
        job = trainings.carry_out(trainings.submit(**LONG, limits=limits))
        assert (job.status, job.failure_code) == (Status.FAILED, code), job.failure_message


def test_an_image_that_is_not_there_fails_at_once_and_names_it(trainings: Trainings) -> None:
    trainings.settings = trainings.settings.changed(docker_images=("elsewhere/*",))
    job = trainings.carry_out(trainings.submit(image="elsewhere/trainer:1"))
    assert (job.status, job.failure_code) == (Status.FAILED, FailureCode.IMAGE_MISSING)
    assert "elsewhere/trainer:1" in str(job.failure_message)
    assert "pull" in str(job.failure_next_step)


def test_a_command_that_the_image_does_not_have_is_refused_by_the_engine(
    trainings: Trainings,
) -> None:
    trainings.settings = trainings.settings.changed(docker_command=("/no/such/program",))
    job = trainings.carry_out(trainings.submit())
    assert (job.status, job.failure_code) == (Status.FAILED, FailureCode.CONTAINER_REFUSED)
    assert "/no/such/program" in str(job.failure_message)


def test_without_an_engine_the_job_waits_for_it_or_runs_natively_where_policy_says_so(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    job = trainings.submit(num_epochs=1)
    assert trainings.carry_out(job).status == Status.QUEUED
    failure = trainings.failure(job.id)
    assert failure["code"] == FailureCode.DOCKER_UNAVAILABLE
    assert "/nowhere/docker.sock" in failure["message"] and "DOCKER_HOST" in failure["next_step"]
    trainings.settings = trainings.settings.changed(
        launcher_fallback=("native",),
        trainer_command=("python", "-c", "raise SystemExit(7)"),
    )
    with trainings.sessions.begin() as session:
        again = transitions.claim(session, "gpu", "worker-1", trainings.settings.jobs.lease_seconds)
    assert again is not None
    trainings.carry_out(again)
    assert "status 7" in trainings.failure(job.id)["message"]
    assert any("process of this host instead" in each for each in trainings.said(job.id))


def test_a_container_that_somebody_removes_costs_the_attempt_only(
    trainings: Trainings, engine: docker.APIClient
) -> None:
    job = trainings.submit(**LONG)
    work = threading.Thread(target=trainings.carry_out, args=(job,))
    work.start()
    until(lambda: trainings.step(job.id), 60, "a step")
    [container] = engine.containers(filters={"label": f"academy.job={job.id}"})
    engine.remove_container(container["Id"], force=True)  # as an administrator would
    work.join(timeout=60)
    failure = trainings.failure(job.id)
    assert failure["code"] == FailureCode.TRAINER_CRASHED, failure
    assert trainings.job(job.id).status == Status.QUEUED


@pytest.mark.skipif(
    shutil.which("nvidia-container-runtime-hook") is not None,
    reason="this host has NVIDIA's container toolkit, so its engine can give GPUs",
)
def test_gpus_that_the_engine_cannot_give_are_named_or_done_without_where_policy_says_so(
    trainings: Trainings,
) -> None:
    job = trainings.carry_out(trainings.submit(num_epochs=1), devices=["MIG-1"])
    assert (job.status, job.failure_code) == (Status.FAILED, FailureCode.NVIDIA_RUNTIME_MISSING)
    assert "nvidia-ctk" in str(job.failure_next_step)
    trainings.settings = trainings.settings.changed(
        launcher_fallback=("cpu",), docker_command=("python3", "-c", "print(77)")
    )
    job = trainings.carry_out(trainings.submit(num_epochs=1), devices=["MIG-1"])
    said = trainings.said(job.id)
    assert any("without GPUs instead" in each for each in said)
    assert any("no GPU" in each for each in said) and "77" in said
