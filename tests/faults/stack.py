"""A stack of real processes on one home, and the questions that the faults ask about it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from sqlalchemy import select

from academy.artifacts.manifest import read_manifest, write_manifest
from academy.artifacts.store import ArtifactStore
from academy.embedded.postgres import EmbeddedPostgres
from academy.embedded.valkey import EmbeddedValkey
from academy.errors import Conflict
from academy.events.event import Event
from academy.jobs.broker import HintSender
from academy.lifecycle import TERMINAL, JobKind
from academy.queues import GPU
from academy.settings import Settings
from academy.store.data import datasets
from academy.store.engine import Sessions, StoreError, close_sessions, make_sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from tests import reading
from tests.faults.form import START_SECONDS, Form
from tests.faults.lanes import side_by_side
from tests.faults.programs import Program, processes_of
from tests.faults.proxy import Proxy
from tests.waiting import until
from tests.warm.python import WarmPython

_DOUBLE = Path(__file__).with_name("trainer_double.py")

#: Writes of a stale owner would show here: progress and checkpoints say which attempt made them.
_AUDIT = """
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY, job_id text, what text, attempt int, detail text
);
CREATE FUNCTION audit_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.progress IS DISTINCT FROM OLD.progress
        AND (NEW.progress->>'attempt')::int <> NEW.attempt THEN
        INSERT INTO audit (job_id, what, attempt, detail)
        VALUES (NEW.id, 'stale progress', NEW.attempt, NEW.progress->>'attempt');
    END IF;
    IF NEW.checkpoint IS DISTINCT FROM OLD.checkpoint THEN
        INSERT INTO audit (job_id, what, attempt, detail)
        VALUES (NEW.id, 'checkpoint', NEW.attempt, NEW.checkpoint->>'digest');
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER jobs_audit AFTER UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION audit_job();
"""


class Stack:
    """Workers, keepers, a Valkey of their own, and the jobs that they are given.

    Its PostgreSQL has other databases, too: stop it only in a test that no other stack lives in.
    """

    def __init__(
        self,
        form: Form,
        postgres: EmbeddedPostgres,
        database_url: str,
        folder: Path,
        warm: Mapping[str, WarmPython],
        **changed: Any,
    ) -> None:
        self.form = form
        self._warm = warm
        self.postgres = postgres
        self.valkey = EmbeddedValkey(folder / "valkey")
        (folder / "valkey").mkdir()
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        common = form.settings(
            Settings().changed(
                home=self.home,
                database_url=database_url,
                redis_url=self.valkey.start(),
                models=(folder / "models",),
                base_model="tiny",
                trainer_command=(sys.executable, str(_DOUBLE)),
                postgres_timeout_seconds=max(1.0, 10.0 / form.scale),
            )
        )
        self.settings = common.changed(**changed)
        self.sessions: Sessions = make_sessions(self.settings, pool_size=16)
        self.store = ArtifactStore(self.settings)
        self.programs: list[Program] = []
        self.submitted: dict[str, dict[str, Any]] = {}
        self._prepare()

    def worker(self, **changed: Any) -> Program:
        """A started GPU worker; `changed` are settings that only it has."""
        return self.program("worker", ["workers", "gpu"], changed)

    def keeper(self, **changed: Any) -> Program:
        """A started keeper."""
        return self.program("keeper", ["workers.keeper"], changed)

    def ready(self, workers: int) -> None:
        """Wait until so many workers registered themselves."""

        def registered() -> bool:
            with self.sql() as connection:
                row = connection.execute("SELECT count(*) FROM workers").fetchone()
            return row is not None and row[0] >= workers

        until(registered, 90, lambda: f"{workers} workers\n{self.logs()}")

    def crew(self, workers: int, **changed: Any) -> list[Program]:
        """So many started workers, ready to take jobs."""
        made = [self.worker(**changed) for _ in range(workers)]
        self.ready(len([each for each in self.programs if each.name == "worker"]))
        return made

    def submit(self, steps: int = 20, seconds: float = 0.05, every: int = 5, **recipe: Any) -> str:
        """Queue a training of the double's; the job's id."""
        return self.queue(
            {"steps": steps, "step_seconds": seconds, "checkpoint_every": every, **recipe}
        )

    def queue(self, parameters: dict[str, Any], dataset_id: str = "dataset_one") -> str:
        """Queue a training with this recipe; the job's id."""
        job = Job(
            id=jobs.new_id(JobKind.TRAINING),
            kind=JobKind.TRAINING,
            queue="gpu",
            parameters=parameters,
            dataset_id=dataset_id,
            base_model="tiny",
        )
        with self.sessions.begin() as session:
            transitions.submit(session, job)
        self.submitted[job.id] = parameters
        return job.id

    def hint(self, times: int) -> None:
        """So many hints for the GPU workers, beside those that the keeper publishes."""
        sender = HintSender(self.settings)
        try:
            sender.send([GPU] * times)
        finally:
            sender.close()

    def cancel(self, job_id: str) -> bool:
        """Cancel as the API does; False if the job was over already."""
        try:
            with self.sessions.begin() as session:
                transitions.request_cancel(session, job_id)
        except Conflict:
            return False
        return True

    def job(self, job_id: str) -> Job:
        """The job's row as it is now."""
        with self.sessions() as session:
            return jobs.get(session, job_id)

    def events(self, job_id: str) -> list[Event]:
        """The job's archived events, as a client gets them."""
        return reading.archived(self.settings, self.sessions, job_id)

    def is_(self, job_id: str, *statuses: str) -> Callable[[], bool]:
        """A condition: the job is in one of these."""
        return lambda: self.job(job_id).status in statuses

    def reached(self, job_id: str, step: int, attempt: int = 1) -> Callable[[], bool]:
        """A condition: this attempt (or a later one) wrote a checkpoint at or after the step."""
        return lambda: any(
            line["event"] == "checkpoint" and line["step"] >= step and line["attempt"] >= attempt
            for line in self.ledger(job_id)
        )

    def idle(self) -> bool:
        """A condition: every job is over."""
        return set(self.statuses().values()) <= TERMINAL

    def all_are(self, ids: Iterable[str], *statuses: str) -> Callable[[], bool]:
        """A condition: every one of these jobs is in one of the statuses."""
        wanted = list(ids)

        def are() -> bool:
            now = self.statuses()
            return {now[each] for each in wanted} <= set(statuses)

        return are

    def all_noted(self, ids: Iterable[str], event: str) -> Callable[[], bool]:
        """A condition: the trainer of each of these jobs wrote the event into the ledger."""
        return lambda: all(
            any(line["event"] == event for line in self.ledger(each)) for each in ids
        )

    def sign(self, name: str) -> Path:
        """A path for a recipe's ``speak``, ``hurry`` or ``finish``; touch it when it is time."""
        return self.folder / name

    def ledger(self, job_id: str) -> list[dict[str, Any]]:
        """What the doubles really did for this job, in order."""
        path = self.home / "ledger" / f"{job_id}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def attempts_begun(self, job_id: str) -> list[dict[str, Any]]:
        """The attempts in which a trainer really started."""
        return [line for line in self.ledger(job_id) if line["event"] == "began"]

    def trainer_pid(self, job_id: str) -> int:
        """The process of the latest trainer of this job."""
        return int(self.attempts_begun(job_id)[-1]["pid"])

    def owner_of(self, job_id: str) -> Program | None:
        """The worker that holds the job, if one does."""
        worker_id = self.job(job_id).worker_id
        pids = {str(each.pid): each for each in self.programs if each.is_running}
        return pids.get(worker_id.split("-gpu-")[1].split("-")[0]) if worker_id else None

    def quiesce(self, within: float = 60.0) -> float:
        """Wait until every job is over; how long it took."""

        def all_over() -> bool:
            try:
                return self.idle()
            except StoreError:
                return False  # PostgreSQL is away just now

        return until(all_over, within, lambda: f"all jobs over: {self.not_over()}\n{self.logs()}")

    def statuses(self) -> dict[str, str]:
        """Every submitted job and its status; a job that is not in the table is ``lost``."""
        with self.sessions() as session:
            found = {row.id: row.status for row in session.execute(select(Job.id, Job.status))}
        return {each: found.get(each, "lost") for each in self.submitted}

    def not_over(self) -> dict[str, str]:
        """The jobs that are not over, for a failing test."""
        return {each: now for each, now in self.statuses().items() if now not in TERMINAL}

    def sql(self) -> psycopg.Connection[Any]:
        """A connection of the harness's own, past every proxy."""
        return psycopg.connect(self.settings.postgres.url, autocommit=True, connect_timeout=10)

    def logs(self, lines: int = 25) -> str:
        """The ends of all logs, for a failing test."""
        parts = []
        for path in sorted(self.folder.glob("*.log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append(f"--- {path.name}\n" + "\n".join(tail))
        return "\n".join([*parts, "--- PostgreSQL", *self._activity()])

    def close(self) -> None:
        """Stop everything that was started here; nothing may be left."""
        for each in self.programs:
            each.send(signal.SIGCONT)
        side_by_side(lambda each: each.stop(), self.programs)
        assert not any(each.is_running for each in self.programs), self.logs()
        until(lambda: not list(processes_of(self.home)), START_SECONDS + 10, "everything stopped")
        close_sessions(self.sessions)
        self.valkey.stop()

    def program(self, kind: str, module: list[str], changed: dict[str, Any]) -> Program:
        """A started process of this stack; `changed` are settings that only it has.

        ``_env`` in it are further environment variables, with which a process starts cold.
        """
        number = len(self.programs)
        more = changed.pop("_env", {})
        env = {**self.settings.changed(**changed).environ(), **more}
        warm = None if more else self._warm.get(module[0])
        program = Program(kind, module, env, self.folder / f"{kind}-{number}.log", warm)
        self.programs.append(program)
        return program.start()

    def add_dataset(self, dataset_id: str, rows: Path) -> None:
        """Publish a dataset folder, whose manifest is there, and register it."""
        key = self.store.publish(rows, "datasets")
        with self.sessions.begin() as session:
            datasets.register(
                session,
                id=dataset_id,
                digest=read_manifest(rows)["digest"],
                key=key,
                format="alpaca",
                train_rows=12,
                heldout_rows=1,
                statistics={},
                request={},
            )

    def _activity(self) -> list[str]:
        """What the server does for this stack just now, and who waits for whom."""
        query = """
            SELECT pid, state, wait_event_type, wait_event, pg_blocking_pids(pid),
                clock_timestamp() - state_change, left(query, 200)
            FROM pg_stat_activity
            WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()
        """
        try:
            with self.sql() as connection:
                return [str(row) for row in connection.execute(query).fetchall()]
        except psycopg.Error as error:
            return [str(error)]

    def _prepare(self) -> None:
        model = self.folder / "models" / "tiny"
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
        (model / "model.safetensors").write_bytes(b"")
        rows = self.folder / "dataset"
        rows.mkdir()
        (rows / "train.jsonl").write_text('{"id": "r1"}\n')
        write_manifest(rows)
        self.add_dataset("dataset_one", rows)
        with self.sql() as connection:
            connection.execute(_AUDIT)


def through(proxy: Proxy, url: str) -> str:
    """The URL of the same server, reached through the proxy."""
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}@127.0.0.1:{proxy.port}").geturl()
