"""A training from its spec to its adapter: set up, evaluate, fit, evaluate, save."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from academy.basemodels import folders
from academy.recipes.recipe import Hardware, Recipe
from academy.trainer import checkpoints
from academy.trainer.adapter import save_adapter, start_from
from academy.trainer.checkpoints import Checkpoint, Counters
from academy.trainer.data.encoding import EncodedPair, Example
from academy.trainer.data.sets import Data, fingerprint, read_data
from academy.trainer.evaluation import (
    Evaluation,
    compare,
    evaluate,
    referenced,
    with_reference,
)
from academy.trainer.fit import fit
from academy.trainer.folders import make_folder, write_json
from academy.trainer.hardware import cpu_threads, detect, memory_bytes
from academy.trainer.memory_fit import load_fitting
from academy.trainer.model.model import AnswerModel, seed_everything
from academy.trainer.model.sharding import shard
from academy.trainer.model.unsloth import start_backend
from academy.trainer.objective import Objective
from academy.trainer.ranks.ranks import Ranks, joined
from academy.trainer.report import Report, json_safe
from academy.trainer.spec import BadSpec, Spec
from academy.trainer.state import TrainState
from academy.trainer.stop import Cancelled, StopRequest

#: What a resumed run may change, because another machine may differ in it.
_OF_THE_MACHINE = {
    "device",
    "dtype",
    "load_in_4bit",
    "gradient_checkpointing",
    "backend",
    "shard_model",
    # How a step's rows are cut; their number, which the step depends on, is kept beside.
    "batch_size",
    "gradient_accumulation",
}


@dataclass(frozen=True)
class Place:
    """Where a training runs: its folder, its voice, its ear, and its place among processes."""

    out: Path
    report: Report
    stop: StopRequest
    rank: int = 0
    rendezvous: str = ""  # where several processes meet
    listen_fd: int | None = None  # the open socket there, if it is this process that they report to


def run_job(spec: Spec, dataset_digest: str | None, place: Place) -> dict[str, Any]:
    """Carry out `spec` and leave the adapter in the place's folder; what ``result.json`` holds.

    `dataset_digest` is that of the verified dataset folder, None for an unverified one. Lets
    `Cancelled` through after a checkpoint was written, if training had begun. With several
    processes each of them calls this, and the first one writes and speaks.
    """
    torch.set_num_threads(max(1, cpu_threads() // spec.recipe.gpus))
    make_folder(place.out)
    hardware = detect()
    start_backend(spec.recipe.resolved(rows=1, hardware=hardware))
    tokenizer, data = read_data(spec, place.report, place.stop)
    recipe = spec.recipe.resolved(rows=len(data.train.rows), hardware=hardware)
    place.stop.check()
    with joined(
        place.rank,
        recipe.processes,
        place.rendezvous,
        str(recipe.device),
        recipe.shard_model,
        listen_fd=place.listen_fd,
    ) as ranks:
        # Hosts may differ in what they are good at; what the first one chose holds for all.
        recipe = ranks.gather(recipe)[0]
        return _run(spec, dataset_digest, place, ranks, recipe, hardware, tokenizer, data)


def _run(
    spec: Spec,
    dataset_digest: str | None,
    place: Place,
    ranks: Ranks,
    recipe: Recipe,
    hardware: Hardware,
    tokenizer: Any,
    data: Data,
) -> dict[str, Any]:
    """Set up, train, evaluate, save; `recipe` has no "auto" left."""
    report, stop = place.report, place.stop
    base_digest = folders.digest(spec.base_model.path)
    made_from = {
        "recipe": {
            **recipe.model_dump(mode="json", exclude=_OF_THE_MACHINE),
            "rows_per_step": recipe.rows_per_step,
        },
        "base_model": base_digest,
        "rows": fingerprint(data.train.rows),
        "heldout": fingerprint(data.proving),
        "init_adapter": spec.init_adapter.digest if spec.init_adapter else None,
    }
    saved = _resume(spec, made_from, report)
    _agree(ranks, made_from, saved)
    stop.check()

    def start(model: AnswerModel) -> None:
        if spec.init_adapter is not None:
            start_from(model, spec.init_adapter, recipe, base_digest)

    fitted = load_fitting(
        spec.base_model.path,
        recipe,
        data.train.rows,
        hardware=hardware,
        limit_bytes=spec.memory_limit_bytes,
        ranks=ranks,
        report=report,
        started=start,
    )
    recipe, model = fitted.recipe, fitted.model
    if spec.init_adapter is not None:
        report.log(f"starting from the adapter {recipe.init_adapter}")
    if recipe.shard_model:
        shard(model.peft_model, model.device)
    if ranks.rank:
        # The adapters start alike, but each process draws its own dropout.
        seed_everything((recipe.seed + ranks.rank) % 2**32)
    if not ranks.lockstep:
        stop.watch(model.peft_model)
    trained = sum(weight.numel() for weight in model.trainable.values())
    report.log(
        f"training {trained:,} of {sum(p.numel() for p in model.peft_model.parameters()):,} "
        f"weights in {recipe.dtype} on {recipe.device} with {torch.get_num_threads()} threads"
        + (f" in each of {ranks.size} processes" if ranks.size > 1 else "")
    )
    state, base = _train(place, ranks, model, recipe, data, made_from, saved)

    report.stage("evaluating", f"measuring the adapter on {len(base.ids)} held-out rows")
    after = evaluate(state.objective, state.proving, adapter=True, check=stop.check, ranks=ranks)
    report.evaluation("adapter", state.counters.step, after)
    if not ranks.is_first:
        return {}

    report.stage("saving", "writing the adapter")
    metrics = json_safe(
        _metrics(state.counters, data, state.plan.total_steps) | compare(base, after)
    )
    adapter = place.out / "adapter"
    digest = save_adapter(
        adapter,
        model,
        tokenizer,
        spec,
        recipe=recipe,
        base_digest=base_digest,
        dataset_digest=dataset_digest,
        metrics=metrics,
    )
    summary = metrics | {
        "recipe": recipe.model_dump(mode="json"),
        "seconds": round(state.counters.seconds, 3),
        "tokens_per_second": round(state.counters.tokens / max(state.counters.seconds, 1e-9), 1),
        "peak_memory_bytes": memory_bytes(recipe.device),
        "preflight": fitted.beside(state.counters.seconds),
    }
    result = {"adapter_path": str(adapter), "digest": digest, "summary": summary}
    write_json(place.out / "result.json", result)
    return result


def _train(
    place: Place,
    ranks: Ranks,
    model: AnswerModel,
    recipe: Recipe,
    data: Data,
    made_from: dict[str, Any],
    saved: Checkpoint | None,
) -> tuple[TrainState, Evaluation]:
    """Evaluate the base model and fit, from the start or from a checkpoint."""
    report, check = place.report, place.stop.check
    counters = Counters() if saved is None else saved.counters
    base = None if saved is None else saved.base

    def save() -> None:
        random_states = ranks.gather(checkpoints.random_state())
        if not ranks.is_first:
            return
        checkpoint = Checkpoint(
            counters=replace(counters),
            made_from=made_from,
            random_states=random_states,
            base=base,
            weights=model.weights(),
            optimizer=_optimizer_state(state),
            best=state.best,
            reference=reference,
        )
        path, digest = checkpoints.save(place.out / "checkpoints", checkpoint)
        report.checkpoint(counters.step, str(path), digest)

    objective = Objective(model, recipe)
    objective.require_rows_apart(data.train.rows)
    parts = {"rows": data.train.rows, "choosing": data.choosing, "proving": data.proving}
    if saved is not None and saved.reference is not None:
        kept = saved.reference
        parts = {name: referenced(rows, kept[name].tolist()) for name, rows in parts.items()}
    elif recipe.method == "dpo":
        report.stage("evaluating_reference", "measuring what the model prefers before training")
        # An adapter to start from is where the policy starts, so it is the reference, too.
        started = recipe.init_adapter is not None
        parts = {
            name: with_reference(objective, rows, adapter=started, check=check, ranks=ranks)
            for name, rows in parts.items()
        }
    reference = _reference(parts) if recipe.method == "dpo" else None
    state = TrainState(
        objective=objective,
        recipe=recipe,
        rows=parts["rows"],
        choosing=parts["choosing"],
        proving=parts["proving"],
        report=report,
        stop=place.stop,
        counters=counters,
        save=save,
        ranks=ranks,
    )
    if saved is not None:
        model.set_weights(saved.weights)
        _set_optimizer_state(state, saved.optimizer)
        state.best = saved.best
        checkpoints.set_random_state(saved.random_states[ranks.rank])
    if base is None:
        report.stage("evaluating_base", f"measuring the base on {len(state.proving)} held-out rows")
        try:
            base = evaluate(objective, state.proving, adapter=False, check=check, ranks=ranks)
        except Cancelled:
            save()
            raise
        save()  # so that a crash in the first steps does not cost this evaluation again
    report.evaluation("base", 0, base)
    report.stage("training", f"{state.plan.total_steps} steps on {len(state.rows)} rows")
    fit(state)
    return state, base


def _reference(parts: dict[str, list[Example]]) -> dict[str, torch.Tensor]:
    """The pairs' reference log-likelihoods as tensors (pairs, 2), which a checkpoint keeps."""
    values = {
        name: [row.reference for row in rows if isinstance(row, EncodedPair)]
        for name, rows in parts.items()
    }
    return {
        name: torch.tensor(each, dtype=torch.float64).reshape(-1, 2)
        for name, each in values.items()
    }


def _resume(spec: Spec, made_from: dict[str, Any], report: Report) -> Checkpoint | None:
    """The checkpoint to go on from; raises `BadSpec` if it is of another training."""
    if spec.resume_from is None:
        return None
    saved = checkpoints.load(spec.resume_from)
    for name, value in made_from.items():
        if saved.made_from.get(name) != value:
            raise BadSpec(
                detail=f"{spec.resume_from} was made with another {name.replace('_', ' ')}"
            )
    report.log(f"going on from step {saved.counters.step}")
    return saved


def _agree(ranks: Ranks, made_from: dict[str, Any], saved: Checkpoint | None) -> None:
    """Refuse hosts that hold other files than the first one."""
    step = None if saved is None else saved.counters.step
    first, *others = ranks.gather({**made_from, "checkpoint": step})
    for rank, other in enumerate(others, start=1):
        for name, value in first.items():
            if other[name] != value:
                raise BadSpec(
                    detail=f"process {rank} has another {name.replace('_', ' ')} than the first one"
                )


def _optimizer_state(state: TrainState) -> dict[str, torch.Tensor]:
    """AdamW's state as named tensors, ``WEIGHT|exp_avg`` and so on."""
    return {
        f"{name}|{key}": value.detach().to("cpu").clone()
        for name, weight in state.model.trainable.items()
        for key, value in state.optimizer.state[weight].items()
    }


def _set_optimizer_state(state: TrainState, tensors: dict[str, torch.Tensor]) -> None:
    for label, value in tensors.items():
        name, key = label.rsplit("|", 1)
        weight = state.model.trainable[name]
        # AdamW keeps its step count on the CPU and the moments beside the weights.
        state.optimizer.state[weight][key] = value if key == "step" else value.to(weight.device)


def _metrics(counters: Counters, data: Data, total_steps: int) -> dict[str, Any]:
    """What the training did, without anything that depends on the machine's speed."""
    return {
        "steps": counters.step,
        "total_steps": total_steps,
        "rows": len(data.train.rows),
        "rows_cut": data.train.cut,
        "answers_unlearnt": data.train.unlearnt,
        "rows_dropped": data.train.dropped,
        "tokens": counters.tokens,
        "answer_tokens": counters.answer_tokens,
        "average_loss": counters.loss_total / max(1, counters.weight),
        "best_loss": counters.best_step_loss,
    }
