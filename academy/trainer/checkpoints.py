"""Checkpoints: everything that a run needs to go on as if nothing had happened.

A checkpoint is a folder of plain tensors and JSON, never a pickle, with its manifest written last.
"""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from academy.artifacts.manifest import ManifestMissing, verify_manifest
from academy.errors import DigestMismatch
from academy.trainer.evaluation import Evaluation
from academy.trainer.folders import publish
from academy.trainer.spec import BadSpec

SCHEMA_VERSION = 2
_KEPT = 2


@dataclass
class Counters:
    """Where a run is. Changed by the training loop only, between two steps."""

    step: int = 0  # optimizer steps taken
    tokens: int = 0  # tokens read, without padding
    answer_tokens: int = 0  # tokens learnt from
    loss_total: float = 0.0  # sum of the losses of those
    weight: int = 0  # what that sum is divided by: answer tokens, or pairs
    best_step_loss: float | None = None  # lowest mean loss of a step
    seconds: float = 0.0  # time spent in steps, over all attempts
    bad_steps: int = 0  # steps in a row whose loss was not a number
    best_evaluation: float | None = None  # lowest held-out loss of the evaluations on the way
    worse_evaluations: int = 0  # evaluations since then
    evaluated_step: int = 0  # step of the latest of them


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint."""

    counters: Counters
    made_from: dict[str, Any]  # recipe and digests; a run may go on from its own kind only
    random_states: list[dict[str, Any]]  # of each process that trains, by its number
    base: Evaluation | None  # the evaluation of the base model, which is done once
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    best: dict[str, torch.Tensor] | None  # the weights of the best evaluation on the way
    reference: dict[str, torch.Tensor] | None = None  # log-likelihoods that DPO compares with


def save(folder: Path, checkpoint: Checkpoint) -> tuple[Path, str]:
    """Write ``step-00000010`` into `folder`, keep the last two; its path and digest.

    Raises `StorageFailed`; the older checkpoints are then still there.
    """
    state = {
        "schema_version": SCHEMA_VERSION,
        "counters": dataclasses.asdict(checkpoint.counters),
        "made_from": checkpoint.made_from,
        "random_states": checkpoint.random_states,
        "base": None if checkpoint.base is None else dataclasses.asdict(checkpoint.base),
    }

    def fill(scratch: Path) -> None:
        save_file(checkpoint.weights, scratch / "adapter.safetensors")
        save_file(checkpoint.optimizer, scratch / "optimizer.safetensors")
        if checkpoint.best is not None:
            save_file(checkpoint.best, scratch / "best.safetensors")
        if checkpoint.reference is not None:
            save_file(checkpoint.reference, scratch / "reference.safetensors")
        (scratch / "state.json").write_text(json.dumps(state, sort_keys=True))

    target = folder / f"step-{checkpoint.counters.step:08d}"
    digest = publish(target, fill)
    for old in sorted(folder.glob("step-*"))[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)  # one that stays does no harm
    return target, digest


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint after verifying its manifest.

    Raises `DigestMismatch` for a damaged one and `BadSpec` for one of another schema version.
    """
    try:
        verify_manifest(folder)
    except ManifestMissing as error:
        raise DigestMismatch(path=str(folder), actual="no manifest", expected="one") from error
    try:
        state = json.loads((folder / "state.json").read_text())
        if state["schema_version"] != SCHEMA_VERSION:
            raise BadSpec(detail=f"{folder} has the schema version {state['schema_version']}")
        best, reference = folder / "best.safetensors", folder / "reference.safetensors"
        return Checkpoint(
            counters=Counters(**state["counters"]),
            made_from=state["made_from"],
            random_states=state["random_states"],
            base=None if state["base"] is None else _evaluation(state["base"]),
            weights=load_file(folder / "adapter.safetensors"),
            optimizer=load_file(folder / "optimizer.safetensors"),
            best=load_file(best) if best.exists() else None,
            reference=load_file(reference) if reference.exists() else None,
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BadSpec(detail=f"{folder} is not a checkpoint of this trainer ({error})") from error


def random_state() -> dict[str, Any]:
    """The state of every generator that a training draws from."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state = {
        "python": [version, list(numbers), gauss],
        "numpy": [str(name), np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().numpy().tobytes().hex(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state().numpy().tobytes().hex()
    return state


def set_random_state(state: dict[str, Any]) -> None:
    """Put every generator back to where it was."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(_bytes(state["torch"]))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(_bytes(state["cuda"]))


def _bytes(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)


def _evaluation(state: Any) -> Evaluation:
    lists: Any = {name: None if each is None else tuple(each) for name, each in state.items()}
    return Evaluation(**lists)
