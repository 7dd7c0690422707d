"""What the whole installation is doing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from academy.api.jobs.jobs_shapes import KindShown
from academy.api.ops.workers_shapes import WorkerShown
from academy.web.shapes import Shown


class Components(Shown):
    """Which parts are there and answer."""

    professor: bool
    dataset_curator: bool = Field(description="a worker of the queue 'curation' is alive")
    gpu_habitat: bool = Field(description="a worker of the queue 'gpu' is alive")
    lessons_store: bool
    model_manager: bool = Field(description="a model server is ready")


class Gpu(Shown):
    """The GPUs of this machine and of the workers."""

    available: bool
    enabled: bool = Field(description="whether a live worker trains on one")
    devices: list[dict[str, Any]]


class Runtime(Shown):
    """A model server."""

    url: str
    kind: str = Field(description="which driver speaks to it, such as 'embedded' or 'vllm'")
    ready: bool
    state: str
    detail: str


class KeeperShown(Shown):
    """A keeper, which did not end in good order."""

    id: str
    host: str
    pid: int
    started_at: datetime
    last_sweep_at: datetime
    late: bool = Field(description="no sweep for longer than its interval and 15 s")


class RestartShown(Shown):
    """A process that `academy up` started again."""

    name: str
    why: str = Field(description="'died', 'does not answer' or 'is stopped'")
    at: datetime


class KindStatus(KindShown):
    """A kind of job, and how its jobs stand."""

    workers: int = Field(description="live workers that know it")
    jobs: dict[str, int] = Field(description="its jobs: in all, and by status")


class SystemStatus(Shown):
    """The state of the whole installation."""

    enabled: bool
    components: Components
    gpu: Gpu
    lessons: dict[str, int]
    jobs: dict[str, int] = Field(description="trainings: in all, and by status")
    config: dict[str, Any]
    workers: list[WorkerShown]
    kinds: list[KindStatus]
    queues: dict[str, int] = Field(description="jobs that wait in each queue")
    runtimes: list[Runtime]
    keepers: list[KeeperShown] = Field(description="the last to sweep first")
    restarts: list[RestartShown] = Field(description="of processes of `academy up`, the latest 20")
    watchers: int = Field(description="open event streams of this process")
    versions: dict[str, str]
