"""Trainings that a test submits and carries out as a worker does."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from academy.jobs.attempt import carry_out
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from academy.training.request import TrainingRequest
from academy.training.submission import submit_training
from academy.training.supervisor import train
from tests import reading

#: Debian with Python and nothing else; the packages are mounted.
IMAGE = "academy-test:base"


class Trainings:
    """Submits trainings and carries them out as a worker does."""

    def __init__(self, settings: Settings, sessions: Sessions, dataset: str) -> None:
        self.settings, self.sessions, self.dataset = settings, sessions, dataset

    def submit(self, **wanted: Any) -> Job:
        request = TrainingRequest(dataset_id=self.dataset, **wanted)
        with self.sessions.begin() as session:
            submit_training(session, self.settings, request, None)
        with self.sessions.begin() as session:
            job = transitions.claim(session, "gpu", "worker-1", self.settings.jobs.lease_seconds)
        assert job is not None
        return job

    def carry_out(
        self, job: Job, draining: threading.Event | None = None, devices: Sequence[str] = ()
    ) -> Job:
        """The job as it ended; `devices` are what its claim would have reserved on a GPU host."""
        job.devices = list(devices)
        carry_out(self.settings, self.sessions, job, draining or threading.Event(), train)
        return self.job(job.id)

    def job(self, job_id: str) -> Job:
        with self.sessions() as session:
            return jobs.get(session, job_id)

    def step(self, job_id: str) -> int:
        return int((self.job(job_id).progress or {}).get("step") or 0)

    def said(self, job_id: str) -> list[str]:
        events = reading.said(self.settings, self.sessions, job_id)
        return [str(each.fields["message"]) for each in events if "message" in each.fields]

    def failure(self, job_id: str) -> dict[str, Any]:
        """What the last attempt failed of, whether it is tried again or not."""
        with self.sessions() as session:
            return jobs.transitions(session, job_id)[-1].detail or {}
