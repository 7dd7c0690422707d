"""An optimizer step is the same however it is cut, and the learning rate follows the recipe."""

import io
import json
from pathlib import Path

import pytest
import torch

from academy.recipes.recipe import Hardware, Recipe
from academy.trainer.checkpoints import Counters
from academy.trainer.data.encoding import ChatEncoder
from academy.trainer.data.rows import Row
from academy.trainer.fit import fit
from academy.trainer.model.model import load_model, load_tokenizer
from academy.trainer.objective import Objective
from academy.trainer.report import Report
from academy.trainer.state import TrainState, learning_rate
from academy.trainer.stop import Cancelled, StopRequest


def prepare(folder: Path, recipe: Recipe, stream: io.StringIO | None = None) -> TrainState:
    """A training of 16 rows whose lengths and answers differ widely."""
    given = [
        Row(
            f"row-{number}",
            (
                {"role": "user", "content": "word " * (1 + number % 5) * 3},
                {"role": "assistant", "content": "answer " * (1 + number % 7)},
            ),
        )
        for number in range(16)
    ]
    rows = ChatEncoder(load_tokenizer(folder), 512).encode_all(given, lambda: None).rows
    resolved = recipe.resolved(rows=16, hardware=Hardware("cpu", bf16=False))
    stop = StopRequest()
    model = load_model(folder, resolved)
    stop.watch(model.peft_model)
    return TrainState(
        objective=Objective(model, resolved),
        recipe=resolved,
        rows=rows,
        choosing=[],
        proving=[],
        report=Report(stream or io.StringIO()),
        stop=stop,
        counters=Counters(),
        save=lambda: None,
    )


def test_a_batch_of_eight_equals_eight_batches_of_one(tiny_model: Path) -> None:
    runs = []
    for size, accumulation in ((8, 1), (1, 8), (3, 3)):
        recipe = Recipe(
            batch_size=size,
            gradient_accumulation=accumulation,
            learning_rate=1e-3,
            max_steps=3,
            seed=5,
        )
        stream = io.StringIO()
        run = prepare(tiny_model, recipe, stream)
        fit(run)
        events = [json.loads(line) for line in stream.getvalue().splitlines()]
        runs.append((run, [event for event in events if event["type"] == "metrics"]))
    (whole, seen), (parts, seen_in_parts), (other, _) = runs
    for one, two in zip(seen, seen_in_parts, strict=True):
        assert one["loss"] == pytest.approx(two["loss"], rel=1e-5)
        assert one["grad_norm"] == pytest.approx(two["grad_norm"], rel=1e-4)
    for name, weight in whole.model.trainable.items():
        torch.testing.assert_close(parts.model.trainable[name], weight, rtol=1e-3, atol=1e-5)
    assert other.plan.steps_per_epoch == whole.plan.steps_per_epoch, "9 rows a step is 2 steps too"
    assert whole.counters.answer_tokens == parts.counters.answer_tokens


def test_a_stop_takes_effect_inside_a_step_and_leaves_the_weights_alone(tiny_model: Path) -> None:
    saved = []
    run = prepare(tiny_model, Recipe(lora_dropout=0.5))
    run.save = lambda: saved.append(torch.get_rng_state())
    before = run.model.weights()
    at_start = torch.get_rng_state()
    # The request comes while the model computes, as a signal would.
    layer = run.model.peft_model.get_base_model().model.layers[0]
    layer.register_forward_pre_hook(lambda *_: setattr(run.stop, "requested", True))
    with pytest.raises(Cancelled):
        fit(run)
    assert run.counters == Counters()
    assert torch.equal(saved[0], at_start), "a resumed run must draw the same dropout again"
    for name, weight in run.model.weights().items():
        assert torch.equal(weight, before[name])


def test_a_stop_is_heeded_on_the_way_backward(tiny_model: Path) -> None:
    run = prepare(tiny_model, Recipe())
    run.model.train()
    loss = run.objective.measure(run.rows).losses.sum()
    run.stop.requested = True
    with pytest.raises(Cancelled):
        loss.backward()


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("cosine", [0.5, 1.0, 0.853553, 0.5, 0.146447]),
        ("linear", [0.5, 1.0, 0.75, 0.5, 0.25]),
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_the_learning_rate_rises_and_then_follows_the_schedule(
    schedule: str, expected: list[float]
) -> None:
    recipe = Recipe.model_validate(
        {"learning_rate": 0.1, "lr_scheduler": schedule, "warmup_ratio": 0.2}
    )
    rates = [learning_rate(recipe, step, 5) * 10 for step in range(5)]
    assert rates == pytest.approx(expected, abs=1e-6)
