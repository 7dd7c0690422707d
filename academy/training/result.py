"""The result of a training: noted in the artifact store first, then recorded in one transaction.

The note makes a lost finish harmless: whoever claims the job next finds the note and records it
instead of training again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import academy
from academy.artifacts.manifest import verify_manifest
from academy.artifacts.store import ArtifactStore
from academy.errors import AcademyError
from academy.store.engine import Session
from academy.store.jobs import transitions
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim
from academy.store.models import adapters
from academy.store.models.tables import Adapter


@dataclass(frozen=True)
class TrainingResult:
    """An adapter in the artifact store, and what its training measured."""

    key: str
    digest: str
    base_digest: str | None
    summary: dict[str, Any]


def note_result(store: ArtifactStore, job_id: str, message: dict[str, Any]) -> TrainingResult:
    """Publish the adapter that a ``result`` message names, and note it beside the job's id.

    Raises `DigestMismatch`, `ManifestMissing` or `StorageFailure`.
    """
    folder = Path(message["adapter_path"])
    digest = verify_manifest(folder, message["digest"])
    about = json.loads((folder / "academy.json").read_text())
    result = TrainingResult(
        key=store.publish(folder, "adapters"),
        digest=digest,
        base_digest=about["base_model"]["digest"],
        summary=dict(message["summary"]),
    )
    store.write_note(_note_key(job_id), asdict(result))
    return result


def noted_result(store: ArtifactStore, job_id: str) -> TrainingResult | None:
    """The verified result of an earlier attempt whose finish was not recorded, if there is one."""
    note = store.read_note(_note_key(job_id))
    if note is None:
        return None
    try:
        result = TrainingResult(**note)
        store.fetch(result.key, result.digest)
    except (TypeError, AcademyError):
        store.delete(_note_key(job_id))  # it cannot be used, so the job trains again
        return None
    return result


def record_result(session: Session, held: Claim, job: Job, result: TrainingResult) -> None:
    """Finish the job and register its adapter, both or neither; raises `StaleFence`."""
    transitions.finish(
        session,
        held,
        {
            "adapter_id": job.id,
            "adapter_key": result.key,
            "digest": result.digest,
            "summary": without_rows(result.summary),
        },
    )
    adapters.register(
        session,
        Adapter(
            id=job.id,
            digest=result.digest,
            key=result.key,
            job_id=job.id,
            base_model=job.base_model,
            base_digest=result.base_digest,
            dataset_id=job.dataset_id,
            role=job.role,
            parent_id=job.parameters.get("init_adapter"),
            parameters=job.parameters,
            metrics=result.summary,
            code_version=academy.__version__,
        ),
    )


def without_rows(summary: dict[str, Any]) -> dict[str, Any]:
    """A training's summary without its figures for each held-out row."""
    return {name: value for name, value in summary.items() if name != "heldout"}


def _note_key(job_id: str) -> str:
    return f"results/{job_id}.json"
