"""The adapter folder: PEFT's files, the tokenizer, and where it all comes from."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from academy.artifacts.manifest import ManifestMissing, verify_manifest
from academy.recipes.recipe import Recipe
from academy.trainer.folders import publish
from academy.trainer.model.model import AnswerModel
from academy.trainer.spec import AdapterRef, BadSpec, Spec

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
        "versions": {
            name: importlib.metadata.version(name)
            for name in (*_PACKAGES, *(["unsloth"] if recipe.backend == "unsloth" else []))
        },
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


def start_from(model: AnswerModel, start: AdapterRef, recipe: Recipe, base_digest: str) -> None:
    """Put the weights of a finished adapter into the fresh one of `model`.

    Raises `DigestMismatch` for a damaged folder, and `BadSpec` for an adapter of another base
    model or another shape than the recipe's, naming what differs.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    try:
        verify_manifest(start.path, start.digest)
    except ManifestMissing as error:
        raise BadSpec(detail=f"init_adapter: {error}") from error
    try:
        config = json.loads((start.path / "adapter_config.json").read_text())
        weights = load_file(start.path / "adapter_model.safetensors")
        origin = start.path / "academy.json"
        about = json.loads(origin.read_text()) if origin.is_file() else {}
    except (OSError, ValueError, SafetensorError) as error:
        raise BadSpec(detail=f"init_adapter cannot be read ({error})") from error
    made_on = about.get("base_model", {}).get("digest", base_digest)
    if made_on != base_digest:
        raise BadSpec(detail=f"init_adapter was made on the base model {made_on}, not on this one")
    wanted = {
        "lora_rank": ("r", recipe.lora_rank),
        "lora_alpha": ("lora_alpha", recipe.lora_alpha),
        "use_dora": ("use_dora", recipe.use_dora),
        "use_rslora": ("use_rslora", recipe.use_rslora),
    }
    for field, (name, value) in wanted.items():
        if config.get(name, False) != value:
            raise BadSpec(
                detail=f"init_adapter was made with {field} {config.get(name)}, but the recipe "
                f"says {value}; set {field} to that of the adapter"
            )
    own = get_peft_model_state_dict(model.peft_model)
    differing = weights.keys() ^ own.keys()
    differing |= {
        name for name in weights.keys() & own.keys() if weights[name].shape != own[name].shape
    }
    if differing:
        raise BadSpec(
            detail="init_adapter has other layers than the recipe's target_modules, such as "
            f"{min(differing)}"
        )
    set_peft_model_state_dict(model.peft_model, weights)


def _sort(path: Path) -> None:
    """Bring PEFT's config into one order; it writes sets, which differ from run to run."""
    config = json.loads(path.read_text())
    for name, value in config.items():
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            config[name] = sorted(value)
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
