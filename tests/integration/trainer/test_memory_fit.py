"""A training's memory is foreseen, and one that would not fit starts with a thriftier recipe."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from academy.artifacts.manifest import write_manifest
from academy.trainer.tiny import make_tiny_model

MIB = 1 << 20
#: How far a prediction of the memory may be off, either way.
FACTOR = 1.5


@pytest.fixture(scope="module")
def medium(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A spec's model and dataset: 13 million random weights, and rows of some 250 tokens."""
    folder = tmp_path_factory.mktemp("medium")
    model = make_tiny_model(folder / "model", hidden_size=512, layers=6, vocabulary=4000)
    dataset = folder / "dataset"
    dataset.mkdir()
    chance = random.Random(1)
    lines = []
    for number in range(12):
        text = " ".join(chance.choice(["alpha", "beta", "gamma"]) for _ in range(14))
        messages = [
            {"role": "user", "content": text},
            {"role": "assistant", "content": text},
        ]
        row = {"id": f"row-{number}", "messages": messages, "source": "upload"}
        lines.append(json.dumps(row) + "\n")
    (dataset / "train.jsonl").write_text("".join(lines[:10]))
    (dataset / "heldout.jsonl").write_text("".join(lines[10:]))
    write_manifest(dataset)
    return {
        "base_model": {"name": "medium", "path": str(model)},
        "dataset": {"path": str(dataset), "digest": None},
    }


_RECIPE = {"max_steps": 2, "batch_size": 4, "checkpoint_interval_steps": 2}


@pytest.fixture(scope="module")
def free(workshop, medium) -> dict[str, Any]:
    """What a training with all the memory it wants says of itself at its end."""
    summary = workshop.start(recipe=_RECIPE, **medium).finish().of("result")[0]["summary"]
    assert isinstance(summary, dict)
    return summary


def _is_about_right(foreseen: dict[str, Any]) -> bool:
    ratio = foreseen["predicted_memory_bytes"] / foreseen["measured_memory_bytes"]
    return 1 / FACTOR < ratio < FACTOR


def test_the_memory_that_is_predicted_is_about_what_is_taken(free: dict[str, Any]) -> None:
    foreseen = free["preflight"]
    assert _is_about_right(foreseen), foreseen
    assert [each["recipe"] for each in foreseen["tried"]] == ["as asked"]
    assert foreseen["predicted_seconds"] > 0 and foreseen["measured_seconds"] > 0


def test_a_training_that_would_not_fit_takes_smaller_batches_and_learns_the_same(
    workshop, medium, free: dict[str, Any]
) -> None:
    parts = free["preflight"]["memory_parts"]
    # Enough for two of the four rows of a batch, and for no more.
    limit = parts["total"] - round(0.45 * (parts["activations"] + parts["head"]))
    tight = workshop.start(recipe=_RECIPE, memory_limit_bytes=limit, **medium).finish()
    summary = tight.of("result")[0]["summary"]
    assert (summary["recipe"]["batch_size"], summary["recipe"]["gradient_accumulation"]) == (2, 2)
    tried = summary["preflight"]["tried"]
    assert [each["fits"] for each in tried] == [False, True]
    assert tried[1]["recipe"] == "batch_size 2 with gradient_accumulation 2"
    assert summary["average_loss"] == pytest.approx(free["average_loss"], rel=1e-4)
    warnings = [each["message"] for each in tight.of("log") if each["level"] == "warning"]
    assert any("training with batch_size 2" in each for each in warnings), warnings


@pytest.mark.slow  # each of the processes takes seconds to import its libraries
def test_processes_that_share_a_limit_take_the_same_smaller_batches(
    workshop, medium, free: dict[str, Any]
) -> None:
    parts = free["preflight"]["memory_parts"]
    # For each of the two enough for one row at a time, where they were asked for two: half of what
    # four rows take would be too much and a quarter suffices.
    share = parts["total"] - round(0.62 * (parts["activations"] + parts["head"]))
    recipe = _RECIPE | {"batch_size": 2, "gpus": 2}
    both = workshop.start(recipe=recipe, memory_limit_bytes=2 * share, **medium).finish()
    summary = both.of("result")[0]["summary"]
    assert (summary["recipe"]["batch_size"], summary["recipe"]["gradient_accumulation"]) == (1, 2)
    assert summary["preflight"]["memory_limit_bytes"] == pytest.approx(share, abs=1)
    assert [each["fits"] for each in summary["preflight"]["tried"]] == [False, True]
    assert summary["average_loss"] == pytest.approx(free["average_loss"], rel=1e-4)


def test_checkpointing_is_the_next_step_down(workshop, medium, free: dict[str, Any]) -> None:
    parts = free["preflight"]["memory_parts"]
    limit = parts["total"] - round(0.85 * (parts["activations"] + parts["head"]))
    tight = workshop.start(recipe=_RECIPE, memory_limit_bytes=limit, **medium).finish()
    summary = tight.of("result")[0]["summary"]
    assert summary["recipe"]["gradient_checkpointing"] is True
    assert summary["recipe"]["batch_size"] == 1
    assert [each["fits"] for each in summary["preflight"]["tried"]] == [False, False, False, True]
    assert _is_about_right(summary["preflight"]), summary["preflight"]
    assert (
        summary["preflight"]["measured_memory_bytes"] < free["preflight"]["measured_memory_bytes"]
    )


def test_a_limit_that_nothing_fits_into_is_said_before_anything_is_trained(
    workshop, medium
) -> None:
    outcome = workshop.start(memory_limit_bytes=100 * MIB, **medium).wait()
    assert outcome.status == 4, outcome.stderr
    error = outcome.of("error")[0]
    assert error["code"] == "out_of_memory"
    assert "the thriftiest would take about" in error["message"]
    assert not Path(outcome.out / "adapter").exists()


def test_a_training_resumes_with_other_batches_of_the_same_step(workshop, tmp_path: Path) -> None:
    recipe = {"batch_size": 4, "checkpoint_interval_steps": 2, "max_steps": 4}
    whole = workshop.start(recipe=recipe).finish()
    first = workshop.start(recipe=recipe)
    first.until_step(2)
    first.until(lambda event: event["type"] == "checkpoint" and event["step"] == 2)
    saved = next(
        each["path"] for each in first.events if each["type"] == "checkpoint" and each["step"] == 2
    )
    first.close()
    smaller = recipe | {"batch_size": 2, "gradient_accumulation": 2}
    resumed = workshop.start(recipe=smaller, resume_from=saved).finish()
    losses = [outcome.of("result")[0]["summary"]["average_loss"] for outcome in (whole, resumed)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
