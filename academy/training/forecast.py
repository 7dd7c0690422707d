"""What a training would take on each kind of worker that is alive, and who could take it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from academy.basemodels.shape import ModelShape
from academy.queues import GPU
from academy.recipes.duration import SHARE, Work, estimate_seconds, gpu_rate, work_of
from academy.recipes.memory import LargestBatch, estimate_memory, ladder
from academy.recipes.recipe import Hardware, Recipe, RecipeImpossible
from academy.store.jobs.tables import Job, Worker
from academy.training.token_counts import TokenCounts

_NO_BFLOAT16 = ("T4", "V100", "P100", "RTX 20", "GTX")


@dataclass(frozen=True)
class WorkerType:
    """Workers that are alike: `device` is ``cpu`` or a GPU's name, its memory in bytes."""

    device: str
    hardware: Hardware
    memory_bytes: int | None
    workers: tuple[str, ...]
    obstacles: tuple[str, ...]  # why each of them takes no job at present; empty if one does


def worker_types(alive: Sequence[Worker]) -> list[WorkerType]:
    """The kinds of GPU-queue workers among those that are alive."""
    kinds: dict[Any, list[Worker]] = {}
    for worker in alive:
        if worker.queue == GPU:
            first = worker.gpus[0] if worker.gpus else {}
            memory = first.get("memory_bytes") or worker.memory_bytes
            key = (first.get("name", "cpu"), memory, _hardware(worker, first.get("name")))
            kinds.setdefault(key, []).append(worker)
    return [
        WorkerType(
            device=device,
            hardware=hardware,
            memory_bytes=memory,
            workers=tuple(worker.id for worker in members),
            obstacles=_obstacles(members),
        )
        for (device, memory, hardware), members in kinds.items()
    ]


def forecast(
    kind: WorkerType,
    recipe: Recipe,
    shape: ModelShape,
    counts: TokenCounts,
    finished: Sequence[Job],
    limit_bytes: int | None = None,
) -> dict[str, Any]:
    """Memory and time on one kind of worker, their basis, and what keeps it from the training.

    `limit_bytes` is the launch's limit on the host's memory.
    """
    available = _available_bytes(kind, recipe, limit_bytes)
    shown: dict[str, Any] = {
        "device": kind.device,
        "workers": list(kind.workers),
        "memory_available_bytes": available,
    }
    try:
        asked = recipe.resolved(rows=len(counts.lengths), hardware=kind.hardware)
    except RecipeImpossible as error:
        return shown | _cannot([str(error)])
    tried = []
    chosen, estimate, fits = asked, None, False
    rungs = ladder(asked, four_bit=asked.device == "cuda" and kind.hardware.four_bit)
    for change, candidate in rungs:
        largest = LargestBatch.of(candidate, counts.lengths, counts.answers)
        chosen, estimate = candidate, estimate_memory(shape, candidate, largest)
        fits = available is None or estimate.total <= available
        tried.append({"recipe": change, "predicted_bytes": estimate.total, "fits": fits})
        if fits:
            break
    assert estimate is not None  # a ladder has the recipe as asked at least
    why_not = list(kind.obstacles)
    if not fits:
        why_not.append(
            f"the thriftiest recipe would take about {estimate.total / 2**30:.2f} GiB, and a "
            f"process of it may take {(available or 0) / 2**30:.2f} GiB"
        )
    return shown | {
        "could_take_it": not why_not,
        "why_not": why_not,
        "recipe": chosen.model_dump(mode="json"),
        "fallback": tried,
        "memory": estimate.as_dict(),
        "memory_basis": "formula over the model's shape and the largest batch; see the docs"
        + ("" if available else "; the memory of these workers is not known"),
        **_time(kind, chosen, shape, counts, finished),
    }


def _available_bytes(kind: WorkerType, recipe: Recipe, limit_bytes: int | None) -> int | None:
    """What each process may take: a GPU of its own, or its part of the host's memory."""
    if kind.hardware.device == "cuda" and recipe.device != "cpu":
        return kind.memory_bytes
    known = [each for each in (kind.memory_bytes, limit_bytes) if each is not None]
    return min(known) // recipe.gpus if known else None


def _cannot(why_not: list[str]) -> dict[str, Any]:
    empty = dict.fromkeys(("recipe", "memory", "memory_basis", "seconds", "seconds_low"))
    more = dict.fromkeys(("seconds_high", "time_basis"))
    return {"could_take_it": False, "why_not": why_not, "fallback": [], **empty, **more}


def _time(
    kind: WorkerType,
    recipe: Recipe,
    shape: ModelShape,
    counts: TokenCounts,
    finished: Sequence[Job],
) -> dict[str, Any]:
    rows = len(counts.lengths)
    work = work_of(recipe, counts.tokens, sum(counts.answers), rows)
    rates = [rate for job in finished if (rate := _rate_of(job, recipe)) is not None]
    if rates:
        middle = work.tokens / statistics.median(rates)
        # One training says little about how far the next one is off.
        spread = 1.5 if len(rates) < 3 else 1.1
        low, high = work.tokens / max(rates) / spread, work.tokens / min(rates) * spread
        basis = f"tokens per second of {len(rates)} finished trainings of this model on the same"
        return _seconds(middle, low, high, f"{basis} kind of device")
    rate = counts.cpu_rate if recipe.device == "cpu" else gpu_rate(kind.device)
    if rate is None:
        return _seconds(None, None, None, f"nothing is known of the speed of {kind.device!r}")
    middle = estimate_seconds(shape, recipe, Work(work.tokens, work.answers), rate)
    source = "measured on this host" if recipe.device == "cpu" else "of the data sheet"
    share = SHARE[str(recipe.device)]
    basis = f"{share:.0%} of the matrix rate {source}, {rate:.3g} FLOP/s; no such training has run"
    return _seconds(middle, middle / 3, middle * 3, basis)


def _seconds(
    middle: float | None, low: float | None, high: float | None, basis: str
) -> dict[str, Any]:
    return {"seconds": middle, "seconds_low": low, "seconds_high": high, "time_basis": basis}


def _rate_of(job: Job, recipe: Recipe) -> float | None:
    """Tokens a second of a finished training like this one; None if it was none."""
    summary = (job.result or {}).get("summary", {})
    ran = summary.get("recipe", {})
    same = ("device", "method", "load_in_4bit", "gradient_checkpointing", "gpus", "hosts")
    rate = summary.get("tokens_per_second")
    if not rate or any(ran.get(name) != getattr(recipe, name) for name in same):
        return None
    return float(rate)


def _hardware(worker: Worker, gpu: str | None) -> Hardware:
    """What a worker can do, as far as it tells; what is not known is taken to be missing."""
    if gpu is None:
        return Hardware("cpu", bf16=False)
    device: Literal["cuda"] = "cuda"
    return Hardware(
        device,
        bf16=not any(name in gpu for name in _NO_BFLOAT16),
        four_bit="bitsandbytes" in worker.versions,
        unsloth="unsloth" in worker.versions,
        gpus=len(worker.gpus),
    )


def _obstacles(members: Sequence[Worker]) -> tuple[str, ...]:
    found = []
    for worker in members:
        if worker.drain_requested_at is not None:
            found.append(f"{worker.id} is draining")
        elif worker.obstacle:
            found.append(f"{worker.id}: {worker.obstacle}")
    return tuple(found) if len(found) == len(members) else ()
