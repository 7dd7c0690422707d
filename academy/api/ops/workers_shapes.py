"""Worker processes: what they have, what they do, and what keeps them from it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from academy.web.shapes import Done, Shown


class WorkerState(StrEnum):
    IDLE = "idle"  # it takes the next job
    WORKING = "working"  # it carries one out
    BLOCKED = "blocked"  # something keeps it from taking jobs; `obstacle` says what
    DRAINING = "draining"  # it was asked to hand its job back and to stop


class WorkerShown(Shown):
    """A worker process that was heard of lately."""

    id: str
    queue: str
    kinds: list[str] = Field(description="kinds of jobs that it knows and its queue carries out")
    host: str
    pid: int
    state: WorkerState
    job_id: str | None = Field(description="the job that it carries out")
    obstacle: str | None = Field(description="why it takes no jobs")
    versions: dict[str, Any] = Field(description="of Academy, the schema, Python and packages")
    cpus: int | None = Field(description="CPUs of its host")
    memory_bytes: int | None = Field(description="memory of its host")
    gpus: list[dict[str, Any]] = Field(
        description="its devices; `job_id` holds one, `obstacle` keeps one from being used"
    )
    started_at: datetime
    last_seen_at: datetime
    draining: bool


class WorkerList(Shown):
    """The live workers."""

    count: int
    workers: list[WorkerShown]


class WorkerDraining(Done):
    """A worker that was asked to let go of its job and stop."""

    id: str
