"""Jobs: what is shown of them, and what lists of them ask for."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator

from academy.api.jobs.launches_shapes import LaunchShown, launch_body
from academy.events.closing import failure_of
from academy.jobs import kinds
from academy.jobs.kinds import Kind
from academy.lifecycle import HELD, JobKind, Status
from academy.settings import Settings
from academy.store.jobs.tables import Job
from academy.web.paging import PageQuery
from academy.web.shapes import Done, Sent, Shown


def _kind_as_kept(kind: str, _: ValidatorFunctionWrapHandler) -> str:
    return str(kind)


#: A kind as an answer shows it. A row may be of one that only another version of Academy declares:
#: it is shown under its name, and keeps nobody from the rows beside it.
KindName = Annotated[JobKind, WrapValidator(_kind_as_kept), PlainSerializer(str, return_type=str)]


class JobsQuery(PageQuery):
    """Which jobs."""

    status: Status | None = Field(None, description="only jobs in this state")
    kind: JobKind | None = Field(None, description="only jobs of this kind")
    role: str | None = Field(None, max_length=63, description="only jobs of this role")


class Failure(Shown):
    """Why a job failed, and what to do."""

    code: str
    message: str
    next_step: str


class JobShown(Shown):
    """A job as lists show it."""

    job_id: str
    kind: KindName
    status: Status
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    parameters: dict[str, Any]
    priority: int
    role: str | None
    dataset_id: str | None
    base_model: str | None
    adapter_id: str | None
    adapter_path: str | None
    attempt: int
    worker: str | None
    progress: float | None = Field(description="share of the work that is done, 0 to 1")
    eta_seconds: float | None = Field(
        description="time left; of a curation that of its stage. None unless a worker is at it"
    )
    eta_low: float | None = Field(description="the 95 % interval of eta_seconds begins there")
    eta_high: float | None = Field(description="and ends there")
    can_pause: bool = Field(description="whether its kind can be paused")
    launch: LaunchShown | None = Field(description="how its trainer is launched")
    failure: Failure | None


class JobsPage(Shown):
    """A part of the jobs, newest first."""

    count: int
    jobs: list[JobShown]
    has_more: bool
    next: str | None


class Metrics(Shown):
    """The figures of a training."""

    latest: dict[str, Any] = Field(description="the newest metrics event's fields")
    best_loss: float | None
    average_loss: float | None
    first_loss: float | None


class JobStatus(JobShown):
    """A job with its newest log lines and figures."""

    logs: str = Field(description="the last lines of the log")
    stage: str | None
    metrics: Metrics
    crashes: int
    obstacle: str | None = Field(description="why no live worker can take a job that waits")
    result: dict[str, Any] | None
    last_event_id: str | None = Field(description="where a watcher can go on: ?after=")


class JobSubmission(Sent):
    """A job of some kind."""

    kind: JobKind = Field(description="what kind of job")
    request: dict[str, Any] = Field(
        default_factory=dict,
        max_length=100,
        description="its request; GET /jobs/kinds has each kind's schema",
    )


class JobSubmitted(Done):
    """A job was queued."""

    job_id: str
    kind: KindName
    status: Status


class KindShown(Shown):
    """A kind of job."""

    kind: JobKind
    summary: str
    queue: str = Field(description="whose workers carry it out")
    can_pause: bool


class KindDeclared(KindShown):
    """A kind of job with what its request may be."""

    can_tell_new: bool = Field(description="whether schedules may submit it only_if_new")
    request: dict[str, Any] = Field(description="the JSON schema of its request")


class KindList(Shown):
    """The kinds of jobs that there are."""

    count: int
    kinds: list[KindDeclared]


class TrainingStarted(Done):
    """A training was queued."""

    job_id: str
    status: Status
    parameters: dict[str, Any]
    dataset_id: str
    base_model: str


class JobMoved(Done):
    """What a request to cancel, pause or resume led to."""

    job_id: str
    status: Status


class TransitionShown(Shown):
    """A change of a job's status."""

    from_status: Status | None
    to_status: Status
    reason: str
    attempt: int
    fence: int
    worker_id: str | None
    detail: dict[str, Any] | None
    at: datetime


class JobHistory(Shown):
    """Every change of a job's status, oldest first."""

    job_id: str
    transitions: list[TransitionShown]


class MetricsQuery(Sent):
    """How much of the series, and in which form."""

    format: Literal["json", "csv"] | None = Field(
        None, description="the form of the answer; left out: CSV for 'Accept: text/csv', else JSON"
    )

    points: int | None = Field(
        None, ge=2, le=10_000, description="about so many points at most, evenly chosen"
    )


class Series(Shown):
    """The figures of a training over its steps."""

    job_id: str
    count: int = Field(description="points there are before choosing")
    metrics: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]


class CheckpointList(Shown):
    """The checkpoints that a training wrote."""

    job_id: str
    checkpoints: list[dict[str, Any]]
    latest: dict[str, Any] | None = Field(description="the one that a retry would resume from")


def kind_body(kind: Kind[Any]) -> dict[str, Any]:
    """The fields of `KindShown`."""
    return {
        "kind": kind.name,
        "summary": kind.summary,
        "queue": kind.queue,
        "can_pause": kind.can_pause,
    }


def job_body(job: Job, settings: Settings) -> dict[str, Any]:
    """The fields of `JobShown`."""
    result, progress = job.result or {}, job.progress or {}
    key = result.get("adapter_key")
    return {
        "job_id": job.id,
        "kind": job.kind,
        "status": job.status,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "parameters": job.parameters,
        "priority": job.priority,
        "role": job.role,
        "dataset_id": job.dataset_id or result.get("dataset_id"),
        "base_model": job.base_model,
        "adapter_id": result.get("adapter_id"),
        "adapter_path": f"{settings.artifacts_url}/{key}" if key else None,
        "attempt": job.attempt,
        "worker": job.worker_id,
        "progress": 1.0 if job.status == Status.FINISHED else progress.get("progress"),
        **_time_left(job),
        "can_pause": kinds.can_pause(job),
        "launch": launch_body(job, settings),
        "failure": failure_of(job),
    }


def _time_left(job: Job) -> dict[str, Any]:
    """The estimate that the job's worker told last; a job that waits or is over has none."""
    told = (job.progress or {}) if job.status in HELD else {}
    return {name: told.get(name) for name in ("eta_seconds", "eta_low", "eta_high")}


def status_body(
    job: Job,
    settings: Settings,
    lines: list[str],
    last_event_id: str | None,
    obstacle: str | None,
) -> dict[str, Any]:
    """The fields of `JobStatus`."""
    progress = dict(job.progress or {})
    figures = ("stage", "first_loss", "best_loss", "average_loss")
    return {
        **job_body(job, settings),
        "logs": "\n".join(lines),
        "stage": progress.get("stage"),
        "metrics": {
            "latest": {name: each for name, each in progress.items() if name not in figures},
            "best_loss": progress.get("best_loss"),
            "average_loss": progress.get("average_loss"),
            "first_loss": progress.get("first_loss"),
        },
        "crashes": job.crashes,
        "obstacle": obstacle,
        "result": job.result,
        "last_event_id": last_event_id,
    }
