"""DPO's loss is TRL's and the paper's, from one model and without a second one."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from academy.recipes.recipe import Hardware, Recipe
from academy.trainer.checkpoints import Counters
from academy.trainer.data.encoding import ChatEncoder, EncodedPair, Example
from academy.trainer.data.rows import PreferenceRow
from academy.trainer.evaluation import evaluate, with_reference
from academy.trainer.fit import fit
from academy.trainer.model.model import AnswerModel, load_model, load_tokenizer
from academy.trainer.objective import Objective, preference_loss
from academy.trainer.ranks.ranks import Ranks
from academy.trainer.report import Report
from academy.trainer.state import TrainState
from academy.trainer.stop import StopRequest

DPO = Recipe(method="dpo", dpo_beta=0.5, learning_rate=1e-3)


def pair(name: str, prompt: str, chosen: str, rejected: str) -> PreferenceRow:
    return PreferenceRow(name, ({"role": "user", "content": prompt},), chosen, rejected)


@pytest.fixture()
def pairs(tiny_model: Path) -> list[Example]:
    given = [
        pair("a", "say yes", "yes", "no no"),
        pair("b", "say " * 12 + "it", "it is so", "never"),
        pair("c", "x", "a longer answer than the other one", "short"),
        pair("d", "count", "one two", "two one"),
    ]
    return ChatEncoder(load_tokenizer(tiny_model), 256).encode_all(given, lambda: None).rows


def moved(folder: Path, recipe: Recipe) -> AnswerModel:
    """A model whose adapter has left its start, so that it prefers something."""
    model = load_model(folder, recipe.resolved(rows=4, hardware=Hardware("cpu", bf16=False)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.trainable.items():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.5)
    return model


def referenced(objective: Objective, rows: list[Example]) -> list[Example]:
    return with_reference(objective, rows, adapter=False, check=lambda: None, ranks=Ranks())


@pytest.mark.filterwarnings("ignore")  # other people's code, run for what it computes
def test_the_loss_and_its_gradient_are_those_of_trl(
    tiny_model: Path, pairs: list[Example], tmp_path: Path
) -> None:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer

    ours = moved(tiny_model, DPO)
    objective = Objective(ours, DPO)
    rows = referenced(objective, pairs)
    examples = [_as_trl_wants(row) for row in rows]
    words = {"prompt": "a", "chosen": "b", "rejected": "c"}
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32),
        args=DPOConfig(
            output_dir=str(tmp_path),
            beta=DPO.dpo_beta,
            use_cpu=True,
            report_to=[],
            disable_dropout=True,
            bf16=False,
            gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list([words]),
        processing_class=load_tokenizer(tiny_model),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
    )
    theirs = dict(trainer.model.named_parameters())
    with torch.no_grad():
        for name, weight in ours.trainable.items():
            theirs[name].copy_(weight)
    expected = trainer.compute_loss(trainer.model, trainer.data_collator(examples))
    expected.backward()
    measured = objective.measure(rows)
    measured.losses.mean().backward()
    assert abs(float(expected.detach()) - math.log(2)) > 0.01, "a model that prefers nothing"
    torch.testing.assert_close(measured.losses.mean(), expected, rtol=1e-5, atol=1e-6)
    for name, weight in ours.trainable.items():
        torch.testing.assert_close(weight.grad, theirs[name].grad, rtol=1e-3, atol=1e-6)


def _as_trl_wants(row: Example) -> dict[str, Any]:
    """The very same tokens, split where the answer begins."""
    assert isinstance(row, EncodedPair)
    start = int(row.chosen.learnt.argmax())
    assert start == int(row.rejected.learnt.argmax())
    return {
        "prompt_ids": row.chosen.tokens[:start].tolist(),
        "chosen_ids": row.chosen.tokens[start:].tolist(),
        "rejected_ids": row.rejected.tokens[start:].tolist(),
    }


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_papers_formula(smoothing: float) -> None:
    policy = torch.tensor([[-3.0, -5.0], [-9.0, -2.0]], requires_grad=True)
    reference = torch.tensor([[-4.0, -4.5], [-8.0, -3.0]])
    measured = preference_loss(policy, reference, beta=0.5, label_smoothing=smoothing)
    for at, margin in enumerate((0.75, -1.0)):
        right = 1 / (1 + math.exp(-margin))
        expected = -(1 - smoothing) * math.log(right) - smoothing * math.log(1 - right)
        assert float(measured.losses[at].detach()) == pytest.approx(expected, rel=1e-6)
    assert measured.margins is not None
    assert measured.margins.tolist() == pytest.approx([0.75, -1.0])


def test_a_model_that_has_not_learnt_yet_prefers_nothing(
    tiny_model: Path, pairs: list[Example]
) -> None:
    model = load_model(tiny_model, DPO.resolved(rows=4, hardware=Hardware("cpu", bf16=False)))
    objective = Objective(model, DPO)
    rows = referenced(objective, pairs)
    done = evaluate(objective, rows, adapter=True, check=lambda: None, ranks=Ranks())
    assert done.losses == pytest.approx([math.log(2)] * 4, rel=1e-6)
    assert done.rewards == {"reward_margin": 0.0, "reward_accuracy": 0.5}


def test_the_evaluation_reports_what_the_pairs_say_one_by_one(
    tiny_model: Path, pairs: list[Example]
) -> None:
    objective = Objective(moved(tiny_model, DPO), DPO)
    rows = referenced(objective, pairs)
    done = evaluate(objective, rows, adapter=True, check=lambda: None, ranks=Ranks())
    with objective.model.evaluating(adapter=True):
        alone = [objective.measure([row]) for row in rows]
    assert done.losses == pytest.approx([float(each.losses[0]) for each in alone], rel=1e-4)
    margins = [float(each.margins[0]) for each in alone if each.margins is not None]
    assert done.rewards["reward_margin"] == pytest.approx(sum(margins) / 4, rel=1e-3)
    assert done.rewards["reward_accuracy"] == sum(margin > 0 for margin in margins) / 4


def test_training_on_pairs_teaches_to_prefer_the_chosen(
    tiny_model: Path, pairs: list[Example]
) -> None:
    recipe = replace_recipe(num_epochs=10, batch_size=2)
    model = load_model(tiny_model, recipe)
    objective = Objective(model, recipe)
    stream = io.StringIO()
    rows = referenced(objective, pairs)
    run = TrainState(
        objective=objective,
        recipe=recipe,
        rows=rows,
        choosing=[],
        proving=rows,
        report=Report(stream),
        stop=StopRequest(),
        counters=Counters(),
        save=lambda: None,
    )
    fit(run)
    after = evaluate(objective, rows, adapter=True, check=lambda: None, ranks=Ranks())
    assert after.loss is not None and after.loss < 0.6
    assert after.rewards["reward_accuracy"] == 1
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    metrics = [event for event in events if event["type"] == "metrics"]
    assert metrics[0]["loss"] == pytest.approx(math.log(2), rel=1e-4)
    assert metrics[0]["reward_accuracy"] == pytest.approx(0.5, abs=0.5)
    assert metrics[-1]["reward_margin"] > metrics[0]["reward_margin"] + 0.1
    assert run.counters.weight == 40, "every pair counts the same"


def replace_recipe(**fields: Any) -> Recipe:
    recipe = DPO.model_copy(update=fields)
    return recipe.resolved(rows=4, hardware=Hardware("cpu", bf16=False))
