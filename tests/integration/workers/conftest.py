"""Real worker processes on one database, with the trainer double in the trainer's place."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from academy.artifacts.manifest import write_manifest
from academy.artifacts.store import ArtifactStore
from academy.lifecycle import JobKind
from academy.settings import Settings
from academy.store.data import datasets
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions, workers
from academy.store.jobs.tables import Job, Worker
from tests.faults.programs import Program
from tests.waiting import until
from tests.warm.python import WarmPython

_DOUBLE = Path(__file__).parents[2] / "faults" / "trainer_double.py"


class Yard:
    """Workers and a keeper as processes, and the jobs that they are given."""

    def __init__(
        self, settings: Settings, sessions: Sessions, folder: Path, warm: WarmPython
    ) -> None:
        self.folder = folder
        self._warm = warm
        self.sessions = sessions
        self.settings = settings.changed(
            models=(folder / "models",),
            base_model="tiny",
            trainer_command=(sys.executable, str(_DOUBLE)),
            lease_seconds=20.0,  # nobody is to lose a lease because the machine is busy
            heartbeat_seconds=0.3,
            pause_grace_seconds=30.0,
        )
        self.programs: list[Program] = []
        self._prepare()

    def worker(self, env: Mapping[str, str] | None = None) -> Program:
        """A started GPU worker, registered."""
        known = set(self.workers())
        program = self.program("worker", ["workers", "gpu"], env or {})
        self.until(
            lambda: any(
                each.pid == program.pid for each in self.workers().values() if each.id not in known
            ),
            "the worker registers",
        )
        return program

    def keeper(self) -> Program:
        """A started keeper."""
        return self.program("keeper", ["workers.keeper"], {})

    def program(self, kind: str, module: list[str], env: Mapping[str, str]) -> Program:
        log = self.folder / f"{kind}-{len(self.programs)}.log"
        made = Program(kind, module, {**self.settings.environ(), **env}, log, self._warm)
        self.programs.append(made)
        return made.start()

    def submit(self, steps: int, seconds: float = 0.02, **recipe: Any) -> str:
        """Queue a training of the double's, which writes a checkpoint at every fifth step."""
        parameters = {"steps": steps, "step_seconds": seconds, "checkpoint_every": 5, **recipe}
        job = Job(
            id=jobs.new_id(JobKind.TRAINING),
            kind=JobKind.TRAINING,
            queue="gpu",
            parameters=parameters,
            dataset_id="dataset_one",
            base_model="tiny",
        )
        with self.sessions.begin() as session:
            transitions.submit(session, job)
        return job.id

    def job(self, job_id: str) -> Job:
        with self.sessions() as session:
            return jobs.get(session, job_id)

    def reasons(self, job_id: str) -> list[str]:
        """Why the job changed its status, in order."""
        with self.sessions() as session:
            return [each.reason for each in jobs.transitions(session, job_id)]

    def detail(self, job_id: str, reason: str) -> dict[str, Any]:
        """What was noted with the transition for that reason."""
        with self.sessions() as session:
            history = jobs.transitions(session, job_id)
        return next(each.detail or {} for each in history if each.reason == reason)

    def ledger(self, job_id: str, event: str) -> list[dict[str, Any]]:
        """What the doubles really did for the job."""
        path = self.settings.home / "ledger" / f"{job_id}.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def moved_on(self, job_id: str) -> bool:
        """Whether a second attempt has begun, or the first one was quicker than its drain."""
        return len(self.ledger(job_id, "began")) > 1 or self.job(job_id).status == "finished"

    def workers(self) -> dict[str, Worker]:
        """Every worker that did not say good-bye."""
        with self.sessions() as session:
            return {each.id: each for each in workers.alive(session, seen_within_seconds=3600)}

    def worker_of(self, program: Program) -> Worker:
        return next(each for each in self.workers().values() if each.pid == program.pid)

    def has_registered(self, program: Program) -> bool:
        return any(each.pid == program.pid for each in self.workers().values())

    def drain(self, program: Program) -> None:
        with self.sessions.begin() as session:
            workers.request_drain(session, self.worker_of(program).id)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        until(condition, 90, lambda: f"{what}\n{self.logs()}", poll=0.05)

    def logs(self) -> str:
        texts = sorted(self.folder.glob("*.log"))
        return "\n".join(f"--- {each.name}\n{each.read_text()[-6000:]}" for each in texts)

    def close(self) -> None:
        for each in reversed(self.programs):
            each.stop()

    def _prepare(self) -> None:
        model = self.folder / "models" / "tiny"
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
        (model / "model.safetensors").write_bytes(b"")
        rows = self.folder / "dataset"
        rows.mkdir()
        (rows / "train.jsonl").write_text('{"id": "r1"}\n')
        digest = write_manifest(rows)
        with self.sessions.begin() as session:
            datasets.register(
                session,
                id="dataset_one",
                digest=digest,
                key=ArtifactStore(self.settings).publish(rows, "datasets"),
                format="alpaca",
                train_rows=12,
                heldout_rows=1,
                statistics={},
                request={},
            )


@pytest.fixture
def yard(
    settings: Settings, sessions: Sessions, tmp_path: Path, warm_workers: WarmPython
) -> Iterator[Yard]:
    made = Yard(settings, sessions, tmp_path, warm_workers)
    yield made
    made.close()
