"""Jobs, their history and hints, and the workers that carry them out; made by migrations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    Identity,
    Index,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from academy.lifecycle import HELD, TERMINAL, JobKind, Status
from academy.queues import QUEUES
from academy.store.base import Base


def _among(values: Any) -> str:
    return "(" + ", ".join(f"'{value}'" for value in sorted(values)) + ")"


class Job(Base):
    """A piece of work that a worker carries out under a lease. Postgres is the job."""

    __tablename__ = "jobs"
    __table_args__ = (
        # Widened by `academy.store.migrate` whenever a version brings another kind.
        CheckConstraint(f"kind IN {_among(JobKind)}", "kind"),
        CheckConstraint(f"status IN {_among(Status)}", "status"),
        # No worker would ever hear of a job on another queue.
        CheckConstraint(f"queue IN {_among(QUEUES)}", "queue"),
        CheckConstraint(
            f"(status IN {_among(TERMINAL)}) = (finished_at IS NOT NULL)", "finished_at"
        ),
        CheckConstraint(f"(status IN {_among(HELD)}) = (lease_expires_at IS NOT NULL)", "lease"),
        CheckConstraint("(status = 'failed') = (failure_code IS NOT NULL)", "failure"),
        # A claim finds the highest priority here, steps from share to share of that priority, and
        # takes the oldest job of one of them: each is one probe, however many jobs wait. Jobs that
        # ask for more GPUs than the claimer has are stepped over inside the index.
        Index(
            "jobs_claim_idx",
            "queue",
            text("priority DESC"),
            "share",
            "created_at",
            "gpus",
            "needs_gpu",
            postgresql_where=text("status = 'queued' AND hosts = 1"),
        ),
        # The jobs of several GPUs or hosts that hosts keep their free slots for.
        Index(
            "jobs_wide_idx",
            "queue",
            text("priority DESC"),
            "created_at",
            postgresql_where=text("status = 'queued' AND (gpus > 1 OR hosts > 1)"),
        ),
        # A claim counts the running jobs of each share: as many entries as there are busy workers.
        Index(
            "jobs_held_idx",
            "queue",
            "share",
            postgresql_where=text("lease_expires_at IS NOT NULL"),
        ),
        # A claim asks when each share last started a job.
        Index(
            "jobs_started_idx",
            "queue",
            "share",
            text("started_at DESC"),
            postgresql_where=text("started_at IS NOT NULL"),
        ),
        # The keeper's sweep for dead leases.
        Index(
            "jobs_lease_idx",
            "lease_expires_at",
            postgresql_where=text("lease_expires_at IS NOT NULL"),
        ),
        # Listing, newest first, with and without a status.
        Index("jobs_created_at_idx", text("created_at DESC"), "id"),
        Index("jobs_status_idx", "status"),
        # A schedule that asks whether a dataset was trained on.
        Index("jobs_trained_idx", "dataset_id", postgresql_where=text("kind = 'training'")),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    queue: Mapped[str]
    status: Mapped[str]
    priority: Mapped[int] = mapped_column(default=0)
    #: The group that a job belongs to, such as ``coder``.
    role: Mapped[str | None]
    #: Raised by each claim; a write under an older fence is refused.
    fence: Mapped[int] = mapped_column(BigInteger, default=0)
    #: How often the job was claimed; the first claim makes it 1.
    attempt: Mapped[int] = mapped_column(default=0)
    #: Crashes since the last checkpoint progress.
    crashes: Mapped[int] = mapped_column(default=0)
    #: What the client asked for, with every default and ``"auto"`` filled in.
    parameters: Mapped[dict[str, Any]]
    #: How its process is launched: launcher, image, network, limits; null: as the settings say.
    launch: Mapped[dict[str, Any] | None]
    dataset_id: Mapped[str | None]
    base_model: Mapped[str | None]
    created_by: Mapped[str | None]
    #: Whom the job counts for in fair share: ``role:…``, or ``key:…`` where there is no role.
    share: Mapped[str] = mapped_column(
        Text(collation="C"),
        Computed(
            "CASE WHEN role IS NULL THEN 'key:' || coalesce(created_by, '')"
            " ELSE 'role:' || role END",
            persisted=True,
        ),
    )
    #: GPUs of each host that the recipe asks for.
    gpus: Mapped[int] = mapped_column(
        Computed("coalesce((parameters ->> 'gpus')::integer, 1)", persisted=True)
    )
    #: Hosts that the recipe asks for. A claim by itself takes jobs of one host only.
    hosts: Mapped[int] = mapped_column(
        Computed("coalesce((parameters ->> 'hosts')::integer, 1)", persisted=True)
    )
    #: Whether the recipe insists on a GPU; else a worker without any may take the job, too.
    needs_gpu: Mapped[bool] = mapped_column(
        Computed("coalesce(parameters ->> 'device' = 'cuda', false)", persisted=True)
    )
    worker_id: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    #: The GPUs of the latest attempt by UUID. A slot is taken iff a job with a lease names it.
    devices: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    #: A queued job is not claimed before this moment (back-off).
    not_before: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    #: The latest metrics, written with a lease renewal.
    progress: Mapped[dict[str, Any] | None]
    #: The last verified checkpoint: ``step``, ``key`` in the artifact store, ``digest``.
    checkpoint: Mapped[dict[str, Any] | None]
    result: Mapped[dict[str, Any] | None]
    failure_code: Mapped[str | None]
    failure_message: Mapped[str | None]
    failure_next_step: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    #: When the job's events were archived to the end.
    events_closed_at: Mapped[datetime | None]


class JobTransition(Base):
    """The history of a job's status; exactly one row leads into a terminal state."""

    __tablename__ = "job_transitions"
    __table_args__ = (
        Index("job_transitions_job_id_idx", "job_id", "id"),
        Index(
            "job_transitions_terminal_key",
            "job_id",
            unique=True,
            postgresql_where=text(f"to_status IN {_among(TERMINAL)}"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    from_status: Mapped[str | None]
    to_status: Mapped[str]
    reason: Mapped[str]
    fence: Mapped[int] = mapped_column(BigInteger)
    attempt: Mapped[int]
    worker_id: Mapped[str | None]
    detail: Mapped[dict[str, Any] | None]
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))


class Share(Base):
    """The weight of a role or key where claims share the workers out; without a row it is 1."""

    __tablename__ = "shares"
    __table_args__ = (CheckConstraint("weight > 0 AND weight <= 1000", "weight"),)

    #: As `Job.share`: ``role:coder``, ``key:ci``.
    name: Mapped[str] = mapped_column(Text(collation="C"), primary_key=True)
    weight: Mapped[float]


class Hint(Base):
    """The outbox: a message for the broker, written in the transaction that queues a job."""

    __tablename__ = "hints"
    __table_args__ = (
        Index("hints_unpublished_idx", "id", postgresql_where=text("published_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    queue: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    published_at: Mapped[datetime | None]


class Worker(Base):
    """A worker process that was seen, and what it runs on."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    queue: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    versions: Mapped[dict[str, Any]]
    #: The kinds of jobs that its version knows and its queue carries out.
    kinds: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))
    #: One entry per device: those of `academy.host.gpus.Gpu`, and ``obstacle``: why it takes none.
    gpus: Mapped[list[Any]] = mapped_column(JSONB)
    #: Why the process takes no job at present, in a sentence; null if it does.
    obstacle: Mapped[str | None]
    #: What the host has, for whoever plans a training.
    cpus: Mapped[int | None]
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    started_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    last_seen_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    drain_requested_at: Mapped[datetime | None]
    #: When it ended in good order.
    stopped_at: Mapped[datetime | None]
    #: When a keeper found that it had not been heard of for a lease; null again once it is.
    lost_at: Mapped[datetime | None]


class Keeper(Base):
    """A keeper process, and when it last swept."""

    __tablename__ = "keepers"

    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    #: The pause between two of its sweeps, by which a late one is known.
    interval_seconds: Mapped[float]
    started_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    swept_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
