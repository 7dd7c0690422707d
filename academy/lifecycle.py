"""Job states, the transitions between them, and who makes each one.

A status changes in one place only, `academy.store.jobs.transitions`; this module is what that place
obeys. Standard library only.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


# A new kind is a new module and a line here: its name, and the module that declares it
# (`academy.jobs.kinds`). The docstring stands in the OpenAPI document.
class JobKind(StrEnum):
    """What a job is."""

    CURATION = "curation", "academy.curation.kind"  # lessons, history, conversations: a dataset
    TRAINING = "training", "academy.training.kind"  # a dataset into an adapter

    module: str

    def __new__(cls, name: str, module: str) -> Self:
        member = str.__new__(cls, name)
        member._value_ = name
        member.module = module
        return member


class Status(StrEnum):
    QUEUED = "queued"  # set by submit, retry, release and resume; a worker claims it next
    PREPARING = "preparing"  # set by a claim; the worker stages files and starts the trainer
    RUNNING = "running"  # set by the worker once its process reports work
    PAUSING = "pausing"  # set by a pause request; the worker checkpoints, then releases
    PAUSED = "paused"  # set by the worker after the checkpoint; waits for a resume request
    CANCELLING = "cancelling"  # set by a cancel request; the worker stops, or the keeper ends it
    FINISHED = "finished"  # set by the worker with its result; final
    FAILED = "failed"  # set by the worker, or by the keeper after too many crashes; final
    CANCELLED = "cancelled"  # set by a cancel request, the worker or the keeper; final


TERMINAL = frozenset({Status.FINISHED, Status.FAILED, Status.CANCELLED})
#: States in which a worker holds a lease on the job.
HELD = frozenset({Status.PREPARING, Status.RUNNING, Status.PAUSING, Status.CANCELLING})

ALLOWED: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.PREPARING, Status.PAUSED, Status.CANCELLED, Status.FAILED}),
    Status.PREPARING: frozenset(
        {
            Status.RUNNING,
            Status.QUEUED,
            Status.PAUSING,
            Status.CANCELLING,
            Status.FINISHED,
            Status.FAILED,
        }
    ),
    Status.RUNNING: frozenset(
        {Status.QUEUED, Status.PAUSING, Status.CANCELLING, Status.FINISHED, Status.FAILED}
    ),
    Status.PAUSING: frozenset(
        {Status.PAUSED, Status.QUEUED, Status.CANCELLING, Status.FINISHED, Status.FAILED}
    ),
    Status.PAUSED: frozenset({Status.QUEUED, Status.CANCELLED}),
    Status.CANCELLING: frozenset({Status.CANCELLED}),
    Status.FINISHED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}


class MemberStatus(StrEnum):
    """How far a worker's part in a job of several hosts is (`academy.store.jobs.gangs`)."""

    INVITED = "invited"  # set by the leader's claim; the worker takes the part up next
    READY = "ready"  # set by the worker once its files are there; the leader then opens the meeting
    LEAVING = "leaving"  # set by a worker that drains; the leader stops all after a checkpoint
    LEFT = "left"  # set by the worker that gave its part up through no fault; over
    DONE = "done"  # set by the worker whose trainer ended well; over
    FAILED = "failed"  # set by the worker with its reason; the whole attempt fails; over


#: States in which a worker holds a lease on its part, and its devices.
TAKING_PART = frozenset({MemberStatus.INVITED, MemberStatus.READY, MemberStatus.LEAVING})


class Reason(StrEnum):
    """Why a transition happened; stored with it."""

    SUBMITTED = "submitted"  # a client asked for the job
    CLAIMED = "claimed"  # a worker took it and its lease
    STARTED = "started"  # the worker's process reported work
    COMPLETED = "completed"  # the result was recorded
    ERROR = "error"  # it cannot succeed as asked; no retry
    CANCEL_REQUESTED = "cancel_requested"  # a client asked to stop it
    CANCEL_DONE = "cancel_done"  # the worker stopped it
    CANCEL_ORPHANED = "cancel_orphaned"  # the keeper ended a cancel whose worker is gone
    PAUSE_REQUESTED = "pause_requested"  # a client asked to pause it
    PAUSE_DONE = "pause_done"  # the worker wrote its checkpoint and let go
    RESUMED = "resumed"  # a client asked a paused job to go on
    LEASE_LOST = "lease_lost"  # the keeper found the lease run out
    RETRY = "retry"  # an infrastructure failure; goes back to the queue
    DRAINED = "drained"  # a worker shuts down, or a gang did not begin; not counted as a crash
    CRASHED_TOO_OFTEN = "crashed_too_often"  # no checkpoint progress over too many crashes


class FailureCode(StrEnum):
    """The published list of reasons for which a job fails, and whether a retry can help."""

    BAD_SPEC = "bad_spec"  # the request cannot be carried out as written
    BAD_DATASET = "bad_dataset"  # rows missing, of another format, or fully masked
    DATASET_TOO_SMALL = "dataset_too_small"
    NOTHING_CURATED = "nothing_curated"  # every row was dropped, or there was none
    SOURCE_FAILED = "source_failed"  # a source broke off in the middle
    REPOSITORY_REFUSED = "repository_refused"  # outside the roots, or no repository
    BASE_MODEL_UNAVAILABLE = "base_model_unavailable"
    OUT_OF_MEMORY = "out_of_memory"  # retried
    DIVERGED = "diverged"  # the loss became NaN or infinite
    WORKER_LOST = "worker_lost"  # retried: the lease ran out
    TRAINER_CRASHED = "trainer_crashed"  # retried: the process died without a word
    DEVICE_LOST = "device_lost"  # retried: a GPU vanished from the host
    TIMEOUT = "timeout"  # ran past its wall-clock limit
    CPU_TIME_EXCEEDED = "cpu_time_exceeded"  # used more CPU time than its limit
    DOCKER_UNAVAILABLE = "docker_unavailable"  # retried: the Docker engine does not answer
    DOCKER_FORBIDDEN = "docker_forbidden"  # the worker's user may not use the Docker engine
    NVIDIA_RUNTIME_MISSING = "nvidia_runtime_missing"  # the engine cannot give GPUs to containers
    IMAGE_MISSING = "image_missing"  # the container image is not on the host
    CONTAINER_REFUSED = "container_refused"  # the engine refused it, or it named foreign files
    STORAGE = "storage"  # retried: the artifact store refused or is full
    DIGEST_MISMATCH = "digest_mismatch"  # files differ from what was recorded
    INTERNAL = "internal"  # a fault of Academy's own


RETRIED = frozenset(
    {
        FailureCode.OUT_OF_MEMORY,
        FailureCode.WORKER_LOST,
        FailureCode.TRAINER_CRASHED,
        FailureCode.DEVICE_LOST,
        FailureCode.DOCKER_UNAVAILABLE,
        FailureCode.STORAGE,
    }
)
