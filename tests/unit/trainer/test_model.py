"""The loss is the plain loss, however the work is cut up."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from academy.trainer.batches import collate
from academy.trainer.encoding import ChatEncoder, Encoded
from academy.trainer.evaluation import evaluate
from academy.trainer.model import AnswerModel, load_config, load_model, load_tokenizer
from academy.trainer.objective import Objective
from academy.trainer.ranks import Ranks
from academy.trainer.rows import Row
from academy.trainer.spec import BadSpec
from academy.training.recipe import Hardware, Recipe

CPU = Hardware("cpu", bf16=False)


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
