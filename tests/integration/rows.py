"""Rows as a dataset that is registered, without a curation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from academy.artifacts.manifest import write_manifest
from academy.artifacts.store import ArtifactStore
from academy.settings import Settings
from academy.store.data import datasets
from academy.store.engine import Sessions


def register_rows(settings: Settings, sessions: Sessions, folder: Path, rows: list[Any]) -> str:
    """Make a dataset of training rows in the new folder; its id, which is the folder's name."""
    folder.mkdir()
    lines = [json.dumps({"source": "upload", "group": "g", **row}) + "\n" for row in rows]
    for name in ("train", "heldout", "dataset", "drops"):
        (folder / f"{name}.jsonl").write_text("".join(lines) if name == "train" else "")
    (folder / "statistics.json").write_text("{}")
    digest = write_manifest(folder)
    key = ArtifactStore(settings).publish(folder, "datasets")
    with sessions.begin() as session:
        datasets.register(
            session,
            id=folder.name,
            digest=digest,
            key=key,
            format="openai",
            train_rows=len(rows),
            heldout_rows=0,
            statistics={"total_examples": len(rows)},
            request={},
        )
    return folder.name
