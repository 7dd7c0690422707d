"""The adapter folder: PEFT's files, the tokenizer, and where it all comes from."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from academy.trainer.folders import publish
from academy.trainer.model import AnswerModel
from academy.trainer.spec import Spec
from academy.training.recipe import Recipe

_PACKAGES = ("academy", "torch", "transformers", "peft")


def save_adapter(
    folder: Path,
    model: AnswerModel,
    tokenizer: Any,
    spec: Spec,
    *,
    recipe: Recipe,
    base_digest: str,
    dataset_digest: str | None,
    metrics: dict[str, Any],
) -> str:
    """Publish the adapter as `folder`, which plain PEFT loads; its digest.

    ``academy.json`` tells base model, data, recipe, versions and metrics. Neither it nor any other
    file holds a time, a path or a job id: equal trainings give equal digests. Raises
    `StorageFailed`.
    """
    origin = {
        "schema_version": 1,
        "base_model": {"name": spec.base_model.name, "digest": base_digest},
        "dataset": {"digest": dataset_digest},
        "recipe": recipe.model_dump(mode="json"),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "metrics": metrics,
    }

    def fill(scratch: Path) -> None:
        # The name and not this machine's path; whoever loads the adapter brings the base model.
        for config in model.peft_model.peft_config.values():
            config.base_model_name_or_path = spec.base_model.name
        model.peft_model.save_pretrained(scratch, save_embedding_layers=False)
        _sort(scratch / "adapter_config.json")
        (scratch / "README.md").unlink(missing_ok=True)  # an empty form for a model hub
        tokenizer.save_pretrained(scratch)
        (scratch / "academy.json").write_text(
            json.dumps(origin, indent=1, sort_keys=True, allow_nan=False) + "\n"
        )

    return publish(folder, fill)


def _sort(path: Path) -> None:
    """Bring PEFT's config into one order; it writes sets, which differ from run to run."""
    config = json.loads(path.read_text())
    for name, value in config.items():
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            config[name] = sorted(value)
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
