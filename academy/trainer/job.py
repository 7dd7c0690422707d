"""A training from its spec to its adapter: set up, evaluate, fit, evaluate, save."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from academy import basemodels
from academy.trainer import checkpoints
from academy.trainer.adapter import save_adapter
from academy.trainer.checkpoints import Checkpoint, Counters
from academy.trainer.encoding import ChatEncoder, Encoded, EncodedRows
from academy.trainer.evaluation import Evaluation, compare, cost_of, evaluate
from academy.trainer.fit import Fit, fit
from academy.trainer.folders import make_folder, write_json
from academy.trainer.hardware import cpu_threads, detect, memory_bytes
from academy.trainer.model import AnswerModel, load_config, load_model, load_tokenizer
from academy.trainer.report import Report, json_safe
from academy.trainer.rows import choose_rows, halve, read_rows
from academy.trainer.spec import BadDataset, BadSpec, Spec
from academy.trainer.stop import Cancelled, StopRequest
from academy.training.recipe import Recipe

#: What a resumed run may change, because another machine may differ in it.
_OF_THE_MACHINE = {"device", "dtype", "load_in_4bit", "gradient_checkpointing"}


@dataclass(frozen=True)
class Data:
    """The encoded rows: to learn from, to choose the best adapter by, to prove the gain on."""

    train: EncodedRows
    choosing: list[Encoded]
    proving: list[Encoded]


def run_job(
    spec: Spec, dataset_digest: str | None, out: Path, report: Report, stop: StopRequest
) -> dict[str, Any]:
    """Carry out `spec` and leave the adapter in `out`; the content of ``result.json``.

    `dataset_digest` is that of the verified dataset folder, None for an unverified one. Lets
    `Cancelled` through after a checkpoint was written, if training had begun.
    """
    torch.set_num_threads(cpu_threads())
    make_folder(out)
    tokenizer, data = _read(spec, report, stop)
    recipe = spec.recipe.resolved(rows=len(data.train.rows), hardware=detect())
    base_digest = basemodels.digest(spec.base_model.path)
    made_from = {
        "recipe": recipe.model_dump(mode="json", exclude=_OF_THE_MACHINE),
        "base_model": base_digest,
        "rows": _fingerprint(data.train.rows),
        "heldout": _fingerprint(data.proving),
    }
    saved = _resume(spec, made_from, report)
    stop.check()
    model = load_model(spec.base_model.path, recipe)
    stop.watch(model.peft_model)
    trained = sum(weight.numel() for weight in model.trainable.values())
    report.log(
        f"training {trained:,} of {sum(p.numel() for p in model.peft_model.parameters()):,} "
        f"weights in {recipe.dtype} on {recipe.device} with {torch.get_num_threads()} threads"
    )
    run, base = _train(out, report, stop, model, recipe, data, made_from, saved)

    report.stage("evaluating", f"measuring the adapter on {len(data.proving)} held-out rows")
    after = evaluate(model, data.proving, adapter=True, check=stop.check)
    report.evaluation("adapter", run.counters.step, len(after.ids), after.loss)

    report.stage("saving", "writing the adapter")
    metrics = json_safe(_metrics(run.counters, data, run.plan.total_steps) | compare(base, after))
    adapter = out / "adapter"
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
        "seconds": round(run.counters.seconds, 3),
        "tokens_per_second": round(run.counters.tokens / max(run.counters.seconds, 1e-9), 1),
        "peak_memory_bytes": memory_bytes(recipe.device),
    }
    result = {"adapter_path": str(adapter), "digest": digest, "summary": summary}
    write_json(out / "result.json", result)
    return result


def _train(
    out: Path,
    report: Report,
    stop: StopRequest,
    model: AnswerModel,
    recipe: Recipe,
    data: Data,
    made_from: dict[str, Any],
    saved: Checkpoint | None,
) -> tuple[Fit, Evaluation]:
    """Evaluate the base model and fit, from the start or from a checkpoint."""
    counters = Counters() if saved is None else saved.counters
    base = None if saved is None else saved.base

    def save() -> None:
        state = Checkpoint(
            counters=replace(counters),
            made_from=made_from,
            random_state=checkpoints.random_state(),
            base=base,
            weights=model.weights(),
            optimizer=_optimizer_state(run),
            best=run.best,
        )
        path, digest = checkpoints.save(out / "checkpoints", state)
        report.checkpoint(counters.step, str(path), digest)

    run = Fit(
        model=model,
        recipe=recipe,
        rows=data.train.rows,
        choosing=data.choosing,
        report=report,
        stop=stop,
        counters=counters,
        save=save,
        final_cost=cost_of(data.proving),
    )
    if saved is not None:
        model.set_weights(saved.weights)
        _set_optimizer_state(run, saved.optimizer)
        run.best = saved.best
        checkpoints.set_random_state(saved.random_state)
    if base is None:
        report.stage("evaluating_base", f"measuring the base on {len(data.proving)} held-out rows")
        try:
            base = evaluate(model, data.proving, adapter=False, check=stop.check)
        except Cancelled:
            save()
            raise
        save()  # so that a crash in the first steps does not cost this evaluation again
    report.evaluation("base", 0, len(base.ids), base.loss)
    report.stage("training", f"{run.plan.total_steps} steps on {len(data.train.rows)} rows")
    fit(run)
    return run, base


def _read(spec: Spec, report: Report, stop: StopRequest) -> tuple[Any, Data]:
    """The tokenizer and the encoded rows; says what was left out. Raises `BadDataset`."""
    config = load_config(spec.base_model.path)
    tokenizer = load_tokenizer(spec.base_model.path)
    wanted = spec.recipe.max_seq_length
    most = min(wanted, getattr(config, "max_position_embeddings", None) or wanted)
    if most < wanted:
        report.log(f"rows are limited to {most} tokens, because the model reads no more")
    encoder = ChatEncoder(tokenizer, most)
    train = encoder.encode_all(read_rows(spec.dataset.path / "train.jsonl"), stop.check)
    _tell(report, "training", train)
    if not train.rows:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in train.dropped.items())
        raise BadDataset(detail=f"no usable training row is left: {reasons or 'there is none'}")
    heldout_file = spec.dataset.path / "heldout.jsonl"
    rows = read_rows(heldout_file) if heldout_file.is_file() else []
    rows = choose_rows(rows, spec.recipe.max_eval_rows, spec.recipe.seed)
    if not rows:
        report.log("there are no held-out rows, so the gain cannot be measured", "warning")
    choosing, proving = rows, rows
    if spec.recipe.early_stopping_patience is not None:
        # Rows that chose the adapter cannot also prove it: the best of many looks is flattered.
        choosing, proving = halve(rows, spec.recipe.seed)
        if not choosing:
            raise BadSpec(detail="early_stopping_patience needs at least two held-out rows")
    encoded = encoder.encode_all(proving, stop.check)
    _tell(report, "held-out", encoded)
    chosen = encoded if choosing is proving else encoder.encode_all(choosing, stop.check)
    return tokenizer, Data(train, chosen.rows, encoded.rows)


def _tell(report: Report, kind: str, encoded: EncodedRows) -> None:
    tokens = sum(len(row.tokens) for row in encoded.rows)
    answers = sum(row.answer_tokens for row in encoded.rows)
    report.log(f"{len(encoded.rows)} {kind} rows, {tokens:,} tokens, {answers:,} of them answers")
    if encoded.cut:
        report.log(f"{encoded.cut} {kind} rows lost the middle of a long prompt", "warning")
    for reason, count in encoded.dropped.items():
        report.log(f"{count} {kind} rows were left out: {reason}", "warning")


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


def _optimizer_state(run: Fit) -> dict[str, torch.Tensor]:
    """AdamW's state as named tensors, ``WEIGHT|exp_avg`` and so on."""
    return {
        f"{name}|{key}": value.detach().to("cpu").clone()
        for name, weight in run.model.trainable.items()
        for key, value in run.optimizer.state[weight].items()
    }


def _set_optimizer_state(run: Fit, tensors: dict[str, torch.Tensor]) -> None:
    for label, value in tensors.items():
        name, key = label.rsplit("|", 1)
        weight = run.model.trainable[name]
        # AdamW keeps its step count on the CPU and the moments beside the weights.
        run.optimizer.state[weight][key] = value if key == "step" else value.to(weight.device)


def _metrics(counters: Counters, data: Data, total_steps: int) -> dict[str, Any]:
    """What the training did, without anything that depends on the machine's speed."""
    answers = max(1, counters.answer_tokens)
    return {
        "steps": counters.step,
        "total_steps": total_steps,
        "rows": len(data.train.rows),
        "rows_cut": data.train.cut,
        "rows_dropped": data.train.dropped,
        "tokens": counters.tokens,
        "answer_tokens": counters.answer_tokens,
        "average_loss": counters.loss_total / answers,
        "best_loss": counters.best_step_loss,
    }


def _fingerprint(rows: Sequence[Encoded]) -> str:
    """A sha256 over what the model gets to see of the rows, in their order."""
    sha256 = hashlib.sha256()
    for row in rows:
        sha256.update(f"{row.id}\0{len(row.tokens)}\0".encode())
        sha256.update(row.tokens.tobytes() + row.learnt.tobytes())
    return "sha256:" + sha256.hexdigest()
