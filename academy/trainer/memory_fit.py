"""Looking before the start whether the memory suffices, and choosing a thriftier recipe if not."""

from __future__ import annotations

import contextlib
import gc
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from academy.basemodels.shape import ModelShape, read_shape
from academy.recipes.duration import estimate_seconds, work_of
from academy.recipes.memory import LargestBatch, MemoryEstimate, estimate_memory, ladder
from academy.recipes.recipe import Hardware, Recipe
from academy.trainer.checkpoints import random_state, set_random_state
from academy.trainer.data.encoding import Example
from academy.trainer.hardware import memory_bytes
from academy.trainer.model.model import AnswerModel, load_model
from academy.trainer.objective import Objective
from academy.trainer.ranks.ranks import Ranks
from academy.trainer.report import Report

_GIB = 1 << 30


@dataclass(frozen=True)
class Fitted:
    """The recipe that a training starts with, and what was expected of it.

    `tried` tells every recipe that was looked at: what was changed, the bytes predicted, those that
    a probe measured, and why it was passed over.
    """

    recipe: Recipe
    model: AnswerModel
    memory: MemoryEstimate
    seconds: float
    limit_bytes: int | None
    tried: tuple[dict[str, Any], ...]

    def beside(self, measured_seconds: float) -> dict[str, Any]:
        """Predicted beside measured, for the result's summary."""
        on_gpu = self.recipe.device == "cuda"
        # torch counts what it has given out on the GPU, which CUDA's own context is not part of.
        predicted = self.memory.total - (self.memory.process if on_gpu else 0)
        return {
            "memory_limit_bytes": self.limit_bytes,
            "predicted_memory_bytes": predicted,
            "measured_memory_bytes": memory_bytes(str(self.recipe.device)),
            "predicted_seconds": round(self.seconds, 1),
            "measured_seconds": round(measured_seconds, 1),
            "memory_parts": self.memory.as_dict(),
            "tried": list(self.tried),
        }


def load_fitting(
    folder: Path,
    recipe: Recipe,
    rows: Sequence[Example],
    *,
    hardware: Hardware,
    limit_bytes: int | None,
    ranks: Ranks,
    report: Report,
    started: Callable[[AnswerModel], None],
) -> Fitted:
    """Load the model with the first recipe of the ladder whose memory suffices.

    `limit_bytes` is the host's memory that all processes of the training here may take; on a GPU,
    and without a limit, what counts is what is free now. On a GPU the prediction is followed by a
    probe: one step forward and back with the largest batch. Up to the limit the last recipe is
    tried even where the prediction says no, as predictions can be wrong. Several processes go on to
    the next recipe together, as soon as one of them has to. `started` prepares each model that is
    loaded. Raises `MemoryError`.
    """
    shape = read_shape(folder)
    before = memory_bytes("cpu")
    hard, budget = _budget(recipe, limit_bytes, before)
    tried: list[dict[str, Any]] = []
    lengths = [row.length for row in rows]
    answers = [row.answer_tokens for row in rows]
    rungs = list(ladder(recipe, four_bit=recipe.device == "cuda" and hardware.four_bit))
    for place, (change, candidate) in enumerate(rungs):
        largest = LargestBatch.of(candidate, lengths, answers)
        estimate = estimate_memory(shape, candidate, largest, before)
        tried.append({"recipe": change, "predicted_bytes": estimate.total, "fits": True})
        is_last = place == len(rungs) - 1
        if _anybody(ranks, budget is not None and estimate.total > budget):
            tried[-1] |= {"fits": False, "why": f"only {(budget or 0) / _GIB:.2f} GiB may be taken"}
            if not is_last or _anybody(ranks, hard is not None and estimate.total > hard):
                continue
        model = _probed(folder, candidate, rows, started, tried[-1])
        if _anybody(ranks, model is None):
            tried[-1] = {"why": "it did not fit for another process", **tried[-1], "fits": False}
            model = None
            _give_back()
            continue
        assert model is not None  # or this process would have been the one to say so
        if len(tried) > 1:
            report.log(_told(tried, change), "warning")
        seconds = _predicted_seconds(shape, candidate, rows)
        return Fitted(candidate, model, estimate, seconds, budget, tuple(tried))
    needed = min(each["predicted_bytes"] for each in tried)
    raise MemoryError(
        f"no recipe fits: the thriftiest would take about {needed / _GIB:.2f} GiB, but "
        f"{(budget or 0) / _GIB:.2f} GiB may be taken; tried "
        + ", ".join(str(each["recipe"]) for each in tried)
    )


def _budget(recipe: Recipe, limit_bytes: int | None, held: int) -> tuple[int | None, int | None]:
    """What this process may take by the limit, and what it may take as things are now."""
    if recipe.device == "cuda":
        return None, int(torch.cuda.mem_get_info()[0])
    # The processes of a host share its memory, and they are alike.
    hard = None if limit_bytes is None else limit_bytes // recipe.gpus
    free = _free_bytes(recipe.gpus, held)
    return hard, free if hard is None else min(hard, free)


def _anybody(ranks: Ranks, flag: bool) -> bool:
    """Whether `flag` holds in any of the processes; each of them has to ask."""
    return any(ranks.gather(flag))


def _probed(
    folder: Path,
    recipe: Recipe,
    rows: Sequence[Example],
    started: Callable[[AnswerModel], None],
    told: dict[str, Any],
) -> AnswerModel | None:
    """The loaded model; None if the largest batch did not fit on the GPU, which `told` then says.

    On a CPU nothing is probed: there the first step of the training has the longest rows, and a
    process that grew once does not shrink again.
    """
    model: AnswerModel | None = None
    try:
        model = load_model(folder, recipe)
        started(model)
        # A sharded model computes once its parts have been handed out, which comes later.
        if recipe.device == "cuda" and not recipe.shard_model:
            told["probed_bytes"] = _probe(model, recipe, rows)
    except torch.OutOfMemoryError as error:
        told |= {"fits": False, "why": str(error).partition("\n")[0][:200]}
        model = None
        _give_back()
    return model


def _give_back() -> None:
    """Free what a model that was passed over took."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _probe(model: AnswerModel, recipe: Recipe, rows: Sequence[Example]) -> int:
    """One step forward and back with the largest batch, which changes nothing; its peak bytes."""
    state = random_state()
    model.train()
    batch = sorted(rows, key=lambda row: -row.length)[: recipe.batch_size]
    likelihoods = Objective(model, recipe).likelihoods(batch)
    likelihoods.sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    for weight in model.trainable.values():
        weight.grad = None
    set_random_state(state)
    return int(torch.cuda.max_memory_allocated())


def _predicted_seconds(shape: ModelShape, recipe: Recipe, rows: Sequence[Example]) -> float:
    tokens = sum(len(each.tokens) for row in rows for each in row.sequences)
    work = work_of(recipe, tokens, sum(row.answer_tokens for row in rows), len(rows))
    rate = matrix_rate(str(recipe.device), str(recipe.dtype))
    return estimate_seconds(shape, recipe, work, rate)


def matrix_rate(device: str, dtype: str = "float32") -> float:
    """FLOP a second of a plain matrix product, the best of three, in a tenth of a second or so."""
    size = 4096 if device == "cuda" else 768
    # Not random ones: the training's draws must not depend on this.
    matrix = torch.full((size, size), 0.5, device=device, dtype=getattr(torch, dtype))
    best = 0.0
    for _ in range(4):
        began = time.perf_counter()
        matrix @ matrix
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best


def _free_bytes(processes: int, held: int) -> int:
    """What this process, one of so many alike, may take in all: its part of what is free.

    `held` is what it holds already.
    """
    import psutil

    limits = [psutil.virtual_memory().available // processes + held]
    soft = resource.getrlimit(resource.RLIMIT_DATA)[0]  # of this process alone
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    # There may be no control group of version 2, or one without a limit.
    with contextlib.suppress(OSError, ValueError):
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()) // processes)
    return min(limits)


def _told(tried: Sequence[dict[str, Any]], change: str) -> str:
    first = tried[0]
    return (
        f"the recipe as asked would take about {first['predicted_bytes'] / _GIB:.2f} GiB and "
        f"{first.get('why', 'did not fit')}; training with {change} instead, which learns the same"
    )
