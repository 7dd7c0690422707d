"""Academy's trainer in a process of its own, as a worker starts it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def train_with_academy(
    folder: Path, model_path: Path, recipe: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """Train on the rows of `folder`; the result's summary. Ends after `seconds` at the latest."""
    spec = {
        "schema_version": 1,
        "job_id": "benchmark",
        "attempt": 1,
        "base_model": {"name": model_path.name, "path": str(model_path)},
        "dataset": {"path": str(folder), "digest": None},
        # The other side writes no checkpoints.
        "recipe": recipe | {"checkpoint_interval_steps": 100_000},
    }
    with tempfile.TemporaryDirectory() as out:
        path = Path(out) / "spec.json"
        path.write_text(json.dumps(spec))
        command = [sys.executable, "-m", "academy.trainer", str(path), "--out", out]
        subprocess.run(command, stdout=sys.stderr, timeout=seconds, check=True)
        summary: dict[str, Any] = json.loads((Path(out) / "result.json").read_text())["summary"]
    return summary
