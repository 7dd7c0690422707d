"""What a trainer is told: verified folders of this host, the recipe, the memory it may take."""

from __future__ import annotations

from typing import Any

from academy.artifacts.manifest import ManifestMissing
from academy.artifacts.store import StorageFailure
from academy.basemodels import folders
from academy.errors import DigestMismatch
from academy.jobs.attempt import Attempt
from academy.store.data import datasets
from academy.store.models import adapters
from academy.training.launch import Limits


def stage(attempt: Attempt, limits: Limits) -> dict[str, Any]:
    """The spec of an attempt that begins afresh; what it names is on this host."""
    job = attempt.job
    dataset = attempt.record(lambda session: datasets.get(session, str(job.dataset_id)))
    dataset_folder = attempt.store.fetch(dataset.key, dataset.digest)
    model = folders.find(str(job.base_model), attempt.settings.model_folders)
    return {
        "schema_version": 1,
        "job_id": job.id,
        "attempt": job.attempt,
        "base_model": {"name": model.name, "path": str(model.path)},
        "dataset": {"path": str(dataset_folder), "digest": dataset.digest},
        "recipe": job.parameters,
        "resume_from": None,
        "init_adapter": _init_adapter(attempt),
        "memory_limit_bytes": limits.memory_bytes,
    }


def fetch_checkpoint(attempt: Attempt, checkpoint: dict[str, Any]) -> str:
    """The verified folder of a checkpoint that was published."""
    return str(attempt.store.fetch(checkpoint["key"], checkpoint["digest"]))


def newest_checkpoint(attempt: Attempt) -> tuple[dict[str, Any], str] | None:
    """The newest checkpoint in the store that verifies: what is recorded of it, and its folder.

    Damaged ones are said and passed over.
    """
    checkpoint = attempt.job.checkpoint
    for candidate in (checkpoint or {}).get("kept", []):
        try:
            folder = fetch_checkpoint(attempt, candidate)
        except (DigestMismatch, ManifestMissing, StorageFailure) as error:
            attempt.events.emit("log", level="warning", message=f"Not resuming from it: {error}")
            continue
        attempt.events.emit(
            "log",
            level="info",
            message=f"Resuming from the checkpoint of step {candidate['step']}.",
        )
        return candidate, folder
    return None


def _init_adapter(attempt: Attempt) -> dict[str, str] | None:
    """The verified folder of the adapter that the recipe starts from."""
    adapter_id = attempt.job.parameters.get("init_adapter")
    if adapter_id is None:
        return None
    adapter = attempt.record(lambda session: adapters.get(session, adapter_id))
    folder = attempt.store.fetch(adapter.key, adapter.digest)
    return {"path": str(folder), "digest": adapter.digest}
