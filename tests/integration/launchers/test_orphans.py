"""A worker that is killed takes its trainer along, and the sweep removes what is left of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import docker
from academy.host.processes import end_group, spawn
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from academy.training.launchers.habitat import FENCE, JOB
from academy.training.launchers.orphans import OrphanSweep, remove_orphans
from academy.training.request import TrainingRequest
from academy.training.submission import submit_training
from tests.integration.launchers.trainings import IMAGE, Trainings
from tests.waiting import until
from workers.keeper.duty import Context
from workers.keeper.publish_hints import PublishHints
from workers.keeper.reap_leases import ReapLeases
from workers.keeper.remove_orphans import RemoveOrphans

ROOT = Path(__file__).resolve().parents[3]


def test_a_killed_worker_leaves_no_trainer_and_after_the_sweep_no_container(
    habitat: Settings,
    sessions: Sessions,
    dataset: str,
    engine: docker.APIClient,
    tmp_path: Path,
) -> None:
    request = TrainingRequest(dataset_id=dataset, num_epochs=100)
    with sessions.begin() as session:
        job_id = submit_training(session, habitat, request, None).id
    settings = habitat.changed(lease_seconds=3.0)
    said = (tmp_path / "worker.log").open("wb")
    worker = spawn(
        [sys.executable, "-m", "workers", "gpu"],
        env={**os.environ, **settings.environ()},
        cwd=ROOT,
        stdout=said,
        stderr=subprocess.STDOUT,
    )
    try:
        context = Context.of(settings, sessions)
        PublishHints(context).do()
        until(lambda: step(sessions, job_id), 120, "a step of the worker's training")
        [container] = of_job(engine, job_id)
        assert container["State"] == "running"
        worker.kill()
        # The lifeline: the engine ends its standard input, and the trainer ends itself.
        until(lambda: of_job(engine, job_id)[0]["State"] == "exited", 60, "the trainer's end")
        assert RemoveOrphans(context).do() == 0  # its lease has not run out: it may still be alive
        until(ReapLeases(context).do, 60, "the end of the lease")
        assert RemoveOrphans(context).do() == 1
        assert of_job(engine, job_id) == []
    finally:
        end_group(worker, grace_seconds=0)
        said.close()


def test_only_containers_whose_job_is_held_by_nobody_or_another_are_removed(
    trainings: Trainings, engine: docker.APIClient
) -> None:
    held = trainings.submit()
    stale, foreign = str(held.fence - 1), "training_of_another_database"
    for job_id, fence in ((held.id, str(held.fence)), (held.id, stale), (foreign, "1")):
        engine.create_container(IMAGE, "true", labels={JOB: job_id, FENCE: fence})
    with OrphanSweep(trainings.sessions, trainings.settings):
        until(lambda: len(of_job(engine, held.id)) == 1, 60, "the first sweep of a worker")
    assert [each["Labels"][FENCE] for each in of_job(engine, held.id)] == [str(held.fence)]
    with trainings.sessions.begin() as session:
        transitions.request_cancel(session, held.id)
        transitions.stopped(
            session, transitions.Claim(held.id, held.fence, held.attempt, "worker-1")
        )
    assert remove_orphans(trainings.sessions, trainings.settings) == 1
    [left] = of_job(engine, foreign)
    engine.remove_container(left["Id"])


def test_where_there_is_no_engine_the_sweep_does_nothing(
    settings: Settings, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert remove_orphans(sessions, settings) == 0


def of_job(engine: docker.APIClient, job_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = engine.containers(all=True, filters={"label": f"{JOB}={job_id}"})
    return found


def step(sessions: Sessions, job_id: str) -> int:
    with sessions() as session:
        return int((jobs.get(session, job_id).progress or {}).get("step") or 0)
