"""``/workers``: who does the work, and asking one to stop."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from academy.access import Role
from academy.api.guard import allows
from academy.api.shapes.keys import WorkerDraining, WorkerList
from academy.api.state import state
from academy.settings import Settings
from academy.store import workers
from academy.store.engine import Session
from academy.store.tables import Worker

blueprint = APIBlueprint("workers", __name__, tag="Workers")


@blueprint.get("/workers")
@allows(Role.VIEWER)
@blueprint.output(WorkerList)
def list_workers() -> dict[str, Any]:
    """The workers that were heard of lately."""
    with state().sessions() as session:
        found = live_workers(session, state().settings)
    return {"count": len(found), "workers": found}


@blueprint.post("/workers/<worker_id>/drain")
@allows(Role.ADMIN)
@blueprint.output(WorkerDraining)
def drain_worker(worker_id: str) -> dict[str, Any]:
    """Ask a worker to hand its job back after a checkpoint, and to stop."""
    with state().sessions.begin() as session:
        workers.request_drain(session, worker_id)
    message = "The worker was asked to let go of its job and stop"
    return {"success": True, "message": message, "id": worker_id}


def live_workers(session: Session, settings: Settings) -> list[dict[str, Any]]:
    """The fields of `WorkerShown` for each worker that is not silent for longer than a lease."""
    found = workers.alive(session, seen_within_seconds=settings.lease_seconds)
    return [worker_body(each) for each in found]


def worker_body(worker: Worker) -> dict[str, Any]:
    """The fields of `WorkerShown`."""
    return {
        "id": worker.id,
        "queue": worker.queue,
        "host": worker.host,
        "pid": worker.pid,
        "versions": worker.versions,
        "gpus": worker.gpus,
        "started_at": worker.started_at,
        "last_seen_at": worker.last_seen_at,
        "draining": worker.drain_requested_at is not None,
    }
