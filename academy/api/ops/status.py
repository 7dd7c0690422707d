"""``/status``: everything at a glance."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import Any

from apiflask import APIBlueprint

import academy
from academy.access.keys import Role
from academy.api.jobs.jobs_shapes import kind_body
from academy.api.ops.status_shapes import SystemStatus
from academy.api.ops.surroundings import Crew, Surroundings
from academy.jobs import kinds
from academy.lifecycle import JobKind, Status
from academy.queues import CURATION, GPU, QUEUES
from academy.store.data import lessons
from academy.store.jobs import jobs
from academy.web.permissions import allows
from academy.web.state import state

blueprint = APIBlueprint("status", __name__, tag="Status")


@blueprint.get("/status")
@allows(Role.VIEWER)
@blueprint.output(SystemStatus)
def system_status() -> dict[str, Any]:
    """Components, GPUs, lessons, jobs, configuration, workers and versions.

    Workers, keepers, model servers and GPUs are as they were seen within the last seconds.
    """
    current = state()
    settings = current.settings
    with current.reading() as session:
        counts, depths = jobs.counts_by_kind(session)
        total_lessons = lessons.count(session)
    crew: Crew = current.crew.seen()
    around: Surroundings = current.lookout.seen()
    workers = crew.workers
    queues_served = {each["queue"] for each in workers}
    worker_gpus = [
        {**gpu, "worker": each["id"], "host": each["host"]}
        for each in workers
        for gpu in each["gpus"]
    ]
    devices = _distinct([*around.devices, *worker_gpus])
    return {
        "enabled": settings.enabled,
        "components": {
            "professor": False,  # nothing here decides by itself when to train
            "dataset_curator": CURATION in queues_served,
            "gpu_habitat": GPU in queues_served,
            "lessons_store": True,  # the count above came from it
            "model_manager": any(each["ready"] for each in around.runtimes),
        },
        "gpu": {
            "available": bool(devices),
            "enabled": any(each["gpus"] for each in workers if each["queue"] == GPU),
            "devices": devices,
        },
        "lessons": {"total_lessons": total_lessons},
        "jobs": _by_status(counts.get(JobKind.TRAINING, {})),
        "config": {
            "min_lessons": settings.professor.min_lessons,
            "training_interval_hours": settings.professor.interval_hours,
            "default_base_model": settings.models.base,
            "default_lora_rank": settings.training.lora_rank,
            "default_learning_rate": settings.training.learning_rate,
            "default_num_epochs": settings.training.num_epochs,
            "max_lessons": settings.curation.max_lessons,
            "git_commits_limit": settings.curation.git_commits_limit,
            "min_train_rows": settings.training.min_rows,
            "lease_seconds": settings.jobs.lease_seconds,
            "max_body_bytes": settings.api.max_body_bytes,
        },
        "workers": workers,
        "kinds": [
            {
                **kind_body(kind),
                "workers": sum(kind.name in each["kinds"] for each in workers),
                "jobs": _by_status(counts.get(kind.name, {})),
            }
            for kind in kinds.every()
        ],
        "queues": {queue: depths.get(queue, 0) for queue in QUEUES},
        "runtimes": around.runtimes,
        "keepers": crew.keepers,
        "restarts": [asdict(each) for each in around.stack.restarts] if around.stack else [],
        "watchers": current.figures.watchers(),
        "versions": {"academy": academy.__version__, "python": platform.python_version()},
    }


def _by_status(counts: dict[str, int]) -> dict[str, int]:
    return {"total": sum(counts.values()), **{each: counts.get(each, 0) for each in Status}}


def _distinct(devices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each device once: a worker on the API's own machine reports the same ones."""
    found: dict[str, dict[str, Any]] = {}
    for index, device in enumerate(devices):
        identity = str(device.get("uuid") or index)
        found[identity] = {**device, **found.get(identity, {})}
    return list(found.values())
