"""Both backends give the same loss, learn, and leave an adapter that plain PEFT loads."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from academy.recipes.recipe import Recipe
from academy.trainer.data.batches import collate
from academy.trainer.data.encoding import ChatEncoder, Encoded, Example
from academy.trainer.data.rows import Row
from academy.trainer.hardware import detect
from academy.trainer.model.model import AnswerModel, load_model, load_tokenizer
from academy.trainer.model.unsloth import start_backend
from academy.trainer.objective import Objective
from academy.trainer.tiny import make_tiny_model

NO_UNSLOTH = not torch.cuda.is_available() or importlib.util.find_spec("unsloth") is None
BACKENDS = [
    "peft",
    pytest.param(
        "unsloth",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(NO_UNSLOTH, reason="Unsloth needs a CUDA GPU and to be installed"),
            pytest.mark.filterwarnings("ignore"),  # what it says while it patches others
        ],
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose attention heads are as wide as a GPU's kernels want them."""
    return make_tiny_model(tmp_path_factory.mktemp("models") / "wide", hidden_size=256)


@pytest.fixture(params=BACKENDS)
def model(request: pytest.FixtureRequest, folder: Path) -> Iterator[AnswerModel]:
    recipe = Recipe(backend=request.param, load_in_4bit=False, lora_rank=8, max_seq_length=256)
    recipe = recipe.resolved(rows=4, hardware=detect())
    start_backend(recipe)
    yield load_model(folder, recipe)


@pytest.fixture
def rows(folder: Path) -> list[Example]:
    texts = [("a", "bb"), ("word " * 20, "x"), ("c", "an answer that goes on " * 4), ("d", "e f")]
    given = [
        Row(f"row-{number}", ({"role": "user", "content": q}, {"role": "assistant", "content": a}))
        for number, (q, a) in enumerate(texts)
    ]
    return ChatEncoder(load_tokenizer(folder), 256).encode_all(given, lambda: None).rows


def plain(folder: Path, model: AnswerModel, row: Encoded) -> float:
    """The mean loss of a row under the bare base model, by the textbook."""
    from transformers import AutoModelForCausalLM

    dtype = next(model.peft_model.get_base_model().parameters()).dtype
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(model.device)
    tokens = torch.from_numpy(row.tokens).long().to(model.device)
    labels = torch.where(torch.from_numpy(row.learnt).to(model.device), tokens, -100)
    with torch.no_grad():
        logits = base(input_ids=tokens[None]).logits[0].float()
    return float(functional.cross_entropy(logits[:-1], labels[1:]))


def test_a_fresh_adapter_has_the_loss_of_the_plain_model(
    folder: Path, model: AnswerModel, rows: list[Example]
) -> None:
    tolerance = 1e-4 if model.device == "cpu" else 2e-2
    for row in rows:
        assert isinstance(row, Encoded)
        with model.evaluating(adapter=True):
            loss = float(model.losses(collate([row], model.device)).mean())
        assert loss == pytest.approx(plain(folder, model, row), rel=tolerance)


def test_training_moves_the_adapter_and_switching_it_off_gives_the_base_model_back(
    model: AnswerModel, rows: list[Example]
) -> None:
    objective = Objective(model, Recipe())
    with model.evaluating(adapter=False):
        base = objective.likelihoods(rows)
    optimizer = torch.optim.AdamW(model.trainable.values(), lr=1e-2)
    for _ in range(5):
        model.train()
        objective.measure(rows).losses.mean().backward()  # type: ignore[no-untyped-call]
        assert all(weight.grad is not None for weight in model.trainable.values())
        optimizer.step()
        optimizer.zero_grad()
    with model.evaluating(adapter=True):
        assert float(objective.likelihoods(rows).sum()) > float(base.sum())
    with model.evaluating(adapter=False):
        torch.testing.assert_close(objective.likelihoods(rows), base)


def test_plain_peft_loads_what_was_learnt(
    folder: Path, model: AnswerModel, rows: list[Example], tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with torch.no_grad():
        for name, weight in model.trainable.items():
            if "lora_B" in name:
                weight.normal_(std=0.05)
    model.peft_model.save_pretrained(tmp_path)
    dtype = next(model.peft_model.get_base_model().parameters()).dtype
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(model.device)
    loaded = AnswerModel(PeftModel.from_pretrained(base, tmp_path, is_trainable=True), model.device)
    batch = collate([each for row in rows for each in row.sequences], model.device)
    with model.evaluating(adapter=True), loaded.evaluating(adapter=True):
        tolerance = 1e-4 if dtype == torch.float32 else 2e-2
        torch.testing.assert_close(
            loaded.losses(batch), model.losses(batch), rtol=tolerance, atol=tolerance
        )
