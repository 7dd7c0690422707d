"""The loss is the plain loss, however the work is cut up."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from academy.errors import DigestMismatch
from academy.recipes.recipe import Hardware, Recipe
from academy.trainer.adapter import save_adapter, start_from
from academy.trainer.data.batches import collate
from academy.trainer.data.encoding import ChatEncoder, Encoded
from academy.trainer.data.rows import Row
from academy.trainer.evaluation import evaluate
from academy.trainer.model.model import AnswerModel, load_config, load_model, load_tokenizer
from academy.trainer.objective import Objective
from academy.trainer.ranks.ranks import Ranks
from academy.trainer.spec import AdapterRef, BadSpec, Spec

CPU = Hardware("cpu", bf16=False)
BASE_DIGEST = "sha256:1"


def load(folder: Path, recipe: Recipe | None = None) -> AnswerModel:
    recipe = (recipe or Recipe()).resolved(rows=8, hardware=CPU)
    model = load_model(folder, recipe)
    with torch.no_grad():  # a fresh adapter changes nothing, which would prove little
        for name, weight in model.trainable.items():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    return model


@pytest.fixture()
def rows(tiny_model: Path) -> list[Encoded]:
    texts = [("a", "bb"), ("word " * 20, "x"), ("c", "an answer that goes on " * 4), ("d", "e f")]
    encoder = ChatEncoder(load_tokenizer(tiny_model), 512)
    given = [
        Row(f"row-{number}", ({"role": "user", "content": q}, {"role": "assistant", "content": a}))
        for number, (q, a) in enumerate(texts)
    ]
    return encoder.encode_all(given, lambda: None).rows


def plain_losses(model: AnswerModel, row: Encoded) -> torch.Tensor:
    """The loss of one row by the textbook: all logits, a shift, and -100 for the prompt."""
    tokens = torch.from_numpy(row.tokens).long()
    labels = torch.where(torch.from_numpy(row.learnt), tokens, -100)
    logits = model.peft_model(input_ids=tokens[None]).logits[0]
    losses = functional.cross_entropy(logits[:-1], labels[1:], reduction="none")
    return losses[labels[1:] != -100]


def test_the_selected_loss_equals_the_plain_one_with_and_without_padding(
    tiny_model: Path, rows: list[Encoded]
) -> None:
    model = load(tiny_model)
    with model.evaluating(adapter=True):
        expected = torch.cat([plain_losses(model, row) for row in rows])
        together = model.losses(collate(rows))
    assert together.shape == expected.shape
    torch.testing.assert_close(together, expected, rtol=1e-5, atol=1e-5)


def test_the_gradient_equals_that_of_the_plain_loss(tiny_model: Path, rows: list[Encoded]) -> None:
    model = load(tiny_model)
    gradients = []
    for plain in (True, False):
        losses = (
            torch.cat([plain_losses(model, row) for row in rows])
            if plain
            else model.losses(collate(rows))
        )
        losses.mean().backward()
        gradients.append({name: w.grad.clone() for name, w in model.trainable.items()})  # type: ignore[union-attr]
        model.peft_model.zero_grad()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-6)


def test_the_adapter_off_is_the_base_model_and_rows_keep_their_order(
    tiny_model: Path, rows: list[Encoded]
) -> None:
    model = load(tiny_model)
    objective = Objective(model, Recipe())
    base, adapted = (
        evaluate(objective, rows, adapter=each, check=lambda: None, ranks=Ranks())
        for each in (False, True)
    )
    assert base.ids == tuple(row.id for row in rows)
    with model.evaluating(adapter=False):
        alone = [float(plain_losses(model, row).mean()) for row in rows]
    assert base.losses == pytest.approx(alone, rel=1e-5)
    assert adapted.losses != pytest.approx(alone, rel=1e-3)
    answers = [row.answer_tokens for row in rows]
    weighted = sum(loss * n for loss, n in zip(alone, answers, strict=True)) / sum(answers)
    assert base.loss == pytest.approx(weighted, rel=1e-5)


def test_noise_is_added_in_training_only(tiny_model: Path, rows: list[Encoded]) -> None:
    model = load(tiny_model, Recipe(neftune_noise_alpha=5))
    batch = collate(rows)
    model.train()
    assert not torch.equal(model.losses(batch), model.losses(batch))
    with model.evaluating(adapter=True):
        assert torch.equal(model.losses(batch), model.losses(batch))


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(use_dora=True),
        Recipe(use_rslora=True),
        Recipe(gradient_checkpointing=True),
        Recipe(target_modules=("q_proj", "v_proj")),
    ],
    ids=["dora", "rslora", "gradient checkpointing", "named modules"],
)
def test_each_kind_of_adapter_gets_gradients(
    tiny_model: Path, rows: list[Encoded], recipe: Recipe
) -> None:
    model = load(tiny_model, recipe)
    model.train()
    model.losses(collate(rows)).mean().backward()
    for name, weight in model.trainable.items():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_layers_that_the_model_does_not_have_are_named(tiny_model: Path) -> None:
    with pytest.raises(BadSpec, match=r"target_modules.*no_such_layer"):
        load(tiny_model, Recipe(target_modules=("no_such_layer",)))


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "abacus"}')
    with pytest.raises(BadSpec, match="abacus"):
        load_config(tmp_path)


def test_a_model_that_is_no_causal_language_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(BadSpec, match=r"vit.*causal"):
        load_config(tmp_path)


def test_a_model_without_all_of_its_weights_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadSpec, match=r"lacks the weights model\.layers\.1\.mlp\.up_proj"):
        load(folder)
    (folder / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(BadSpec, match="cannot be loaded"):
        load(folder)


def test_packed_rows_have_the_losses_and_gradients_of_padded_ones(
    tiny_model: Path, rows: list[Encoded]
) -> None:
    model = load(tiny_model)
    found = []
    for packed in (False, True):
        batch = collate(rows, packed=packed)
        losses = model.losses(batch)
        losses.mean().backward()
        found.append((losses.detach(), {n: w.grad.clone() for n, w in model.trainable.items()}))  # type: ignore[union-attr]
        model.peft_model.zero_grad()
    assert collate(rows, packed=True).inputs.shape == (1, sum(len(r.tokens) - 1 for r in rows))
    (padded, gradients), (packed_losses, packed_gradients) = found
    torch.testing.assert_close(packed_losses, padded, rtol=1e-5, atol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(packed_gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_model_that_mixes_packed_rows_up_is_refused(
    tiny_model: Path, rows: list[Encoded]
) -> None:
    recipe = Recipe(packing=True, dtype="float32")
    model = load(tiny_model, recipe)
    with torch.no_grad():  # random weights hardly look at anything, these do
        for weight in model.trainable.values():
            weight.mul_(10)
    objective = Objective(model, recipe)
    objective.require_rows_apart(rows)

    def forget_positions(_: object, args: tuple[object, ...], given: dict[str, object]) -> object:
        return args, {**given, "position_ids": None}

    # Like a model with a running state instead of positions.
    decoder = model.peft_model.get_base_model().model
    decoder.register_forward_pre_hook(forget_positions, with_kwargs=True)
    with pytest.raises(BadSpec, match="does not keep packed rows apart"):
        objective.require_rows_apart(rows)
    unasked = Objective(model, Recipe(dtype="float32"))
    assert unasked.packed
    unasked.require_rows_apart(rows)
    assert not unasked.packed, "where packing was not asked for, rows are padded"


def finished(folder: Path, model: AnswerModel, recipe: Recipe, base: Path) -> AdapterRef:
    """The model's adapter as a training leaves it."""
    spec = Spec.model_validate_json(
        json.dumps(
            {
                "schema_version": 1,
                "job_id": "job-1",
                "attempt": 1,
                "base_model": {"name": "tiny", "path": str(base)},
                "dataset": {"path": "/data"},
            }
        )
    )
    digest = save_adapter(
        folder,
        model,
        load_tokenizer(base),
        spec,
        recipe=recipe,
        base_digest=BASE_DIGEST,
        dataset_digest=None,
        metrics={},
    )
    return AdapterRef(path=folder, digest=digest)


@pytest.mark.parametrize("extra", [{}, {"use_dora": True}], ids=["lora", "dora"])
def test_a_finished_adapter_is_where_the_next_training_starts(
    tiny_model: Path, rows: list[Encoded], tmp_path: Path, extra: dict[str, bool]
) -> None:
    recipe = Recipe.model_validate({"lora_rank": 4, **extra}).resolved(rows=8, hardware=CPU)
    old = load(tiny_model, recipe)
    start = finished(tmp_path / "adapter", old, recipe, tiny_model)
    new = load_model(tiny_model, recipe)
    start_from(new, start, recipe, BASE_DIGEST)
    for name, weight in old.weights().items():
        assert torch.equal(new.weights()[name], weight)
    with old.evaluating(adapter=True), new.evaluating(adapter=True):
        assert torch.equal(old.losses(collate(rows)), new.losses(collate(rows)))


@pytest.mark.parametrize(
    ("changed", "base", "named"),
    [
        ({"lora_rank": 8}, "sha256:1", "lora_rank 4, but the recipe says 8"),
        ({"lora_alpha": 5.0}, "sha256:1", "lora_alpha 8, but the recipe says 5.0"),
        ({"use_dora": True}, "sha256:1", "use_dora False, but the recipe says True"),
        ({"target_modules": ("q_proj",)}, "sha256:1", "target_modules, such as base_model"),
        ({}, "sha256:2", "made on the base model sha256:1"),
    ],
)
def test_an_adapter_of_another_shape_or_model_is_refused_by_what_differs(
    tiny_model: Path, tmp_path: Path, changed: dict[str, object], base: str, named: str
) -> None:
    recipe = Recipe(lora_rank=4).resolved(rows=8, hardware=CPU)
    start = finished(tmp_path / "adapter", load(tiny_model, recipe), recipe, tiny_model)
    other = Recipe.model_validate({"lora_rank": 4, "lora_alpha": 8.0, **changed})
    other = other.resolved(rows=8, hardware=CPU)
    with pytest.raises(BadSpec, match=re.escape(named)):
        start_from(load_model(tiny_model, other), start, other, base)


def test_a_damaged_adapter_is_not_started_from(tiny_model: Path, tmp_path: Path) -> None:
    recipe = Recipe(lora_rank=4).resolved(rows=8, hardware=CPU)
    model = load(tiny_model, recipe)
    start = finished(tmp_path / "adapter", model, recipe, tiny_model)
    (start.path / "adapter_config.json").write_text("{}")
    with pytest.raises(DigestMismatch):
        start_from(model, start, recipe, BASE_DIGEST)
