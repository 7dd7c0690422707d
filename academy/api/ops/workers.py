"""``/workers``: who does the work, and asking one to stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apiflask import APIBlueprint

from academy.access.keys import Role
from academy.api.ops.workers_shapes import WorkerDraining, WorkerList, WorkerState
from academy.settings import Settings
from academy.store.engine import Session
from academy.store.jobs import slots, workers
from academy.store.jobs.slots import BusyWorker
from academy.store.jobs.tables import Worker
from academy.web.permissions import allows
from academy.web.state import state

blueprint = APIBlueprint("workers", __name__, tag="Workers")


@blueprint.get("/workers")
@allows(Role.VIEWER)
@blueprint.output(WorkerList)
def list_workers() -> dict[str, Any]:
    """The workers that were heard of lately."""
    with state().reading() as session:
        found = live_workers(session, state().settings)
    return {"count": len(found), "workers": found}


@blueprint.post("/workers/<worker_id>/drain")
@allows(Role.ADMIN)
@blueprint.output(WorkerDraining)
def drain_worker(worker_id: str) -> dict[str, Any]:
    """Ask a worker to hand its job back after a checkpoint, and to stop."""
    with state().sessions.begin() as session:
        workers.request_drain(session, worker_id)
    state().crew.outdate()
    message = "The worker was asked to let go of its job and stop"
    return {"success": True, "message": message, "id": worker_id}


def live_workers(session: Session, settings: Settings) -> list[dict[str, Any]]:
    """The fields of `WorkerShown` for each worker that is not silent for longer than a lease."""
    found = workers.alive(session, seen_within_seconds=settings.jobs.lease_seconds)
    busy = slots.busy_workers(session)
    held = {each.worker_id: each.job_id for each in busy}
    holders = slots.holders(busy)
    return [_worker_body(each, held.get(each.id), holders) for each in found]


def _worker_body(
    worker: Worker, job_id: str | None, holders: Mapping[str, BusyWorker]
) -> dict[str, Any]:
    gpus = []
    for gpu in worker.gpus:
        holder = holders.get(str(gpu.get("uuid")))
        gpus.append({**gpu, "job_id": None if holder is None else holder.job_id})
    return {
        "id": worker.id,
        "queue": worker.queue,
        "kinds": worker.kinds,
        "host": worker.host,
        "pid": worker.pid,
        "state": _state(worker, job_id),
        "job_id": job_id,
        "obstacle": worker.obstacle,
        "versions": worker.versions,
        "cpus": worker.cpus,
        "memory_bytes": worker.memory_bytes,
        "gpus": gpus,
        "started_at": worker.started_at,
        "last_seen_at": worker.last_seen_at,
        "draining": worker.drain_requested_at is not None,
    }


def _state(worker: Worker, job_id: str | None) -> WorkerState:
    if worker.drain_requested_at is not None:
        return WorkerState.DRAINING
    if job_id is not None:
        return WorkerState.WORKING
    return WorkerState.IDLE if worker.obstacle is None else WorkerState.BLOCKED
