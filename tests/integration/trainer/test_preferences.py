"""A training on preference pairs, from its rows to its proof."""

from __future__ import annotations

import json
import math
import random
import signal
from pathlib import Path
from typing import Any

import pytest

RECIPE = {
    "method": "dpo",
    "dpo_beta": 0.5,
    "learning_rate": 0.003,
    "num_epochs": 6,
    "batch_size": 2,
    "lora_dropout": 0.2,
    "eval_interval_steps": 10,
}


@pytest.fixture(scope="module")
def pairs(workshop: Any) -> dict[str, Any]:
    """Rows whose chosen answer repeats the prompt and whose rejected one does not."""
    chance = random.Random(0)

    def row(number: int) -> str:
        words = [chance.choice(["alpha", "beta", "gamma"]) for _ in range(2 + number % 5)]
        body = {
            "id": f"pair-{number}",
            "messages": [{"role": "user", "content": f"repeat: {' '.join(words)}"}],
            "chosen": " ".join(words),
            "rejected": " ".join("delta" for _ in words),
            "source": "run",
        }
        return json.dumps(body) + "\n"

    folder = workshop.folder / "pairs"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(row(number) for number in range(16)))
    (folder / "heldout.jsonl").write_text("".join(row(number) for number in range(16, 24)))
    return {"path": str(folder), "digest": None}


@pytest.fixture(scope="module")
def done(workshop: Any, pairs: dict[str, Any]) -> Any:
    return workshop.start(recipe=RECIPE, dataset=pairs).finish()


def test_it_learns_to_prefer_and_proves_it_on_held_out_pairs(done: Any) -> None:
    base, *_, after = done.of("evaluation")
    assert base["loss"] == pytest.approx(math.log(2), rel=1e-5), "nothing is preferred yet"
    assert base["reward_accuracy"] == 0.5
    assert after["loss"] < base["loss"] - 0.1
    assert after["reward_accuracy"] > 0.9
    summary = done.events[-1]["summary"]
    assert summary["gain"]["low"] > 0
    assert summary["reward_accuracy"] == after["reward_accuracy"]
    assert summary["reward_margin"] == after["reward_margin"]
    assert summary["heldout"]["weights"] == [1] * 8
    first, *_, last = done.of("metrics")
    assert first["loss"] == pytest.approx(math.log(2), abs=0.1)
    assert last["reward_margin"] > first["reward_margin"]
    assert "evaluating_reference" in [event["stage"] for event in done.of("stage")]


def test_a_stopped_one_goes_on_to_the_very_same_adapter(
    workshop: Any, pairs: dict[str, Any], done: Any
) -> None:
    first = workshop.start(recipe=RECIPE, dataset=pairs)
    first.until_step(7)
    first.process.send_signal(signal.SIGTERM)
    stopped = first.wait()
    assert stopped.status == 3, stopped.stderr
    checkpoint = Path(stopped.of("checkpoint")[-1]["path"])
    assert (checkpoint / "reference.safetensors").is_file()
    second = workshop.start(recipe=RECIPE, dataset=pairs, resume_from=str(checkpoint)).finish()
    assert "evaluating_reference" not in [event["stage"] for event in second.of("stage")]
    assert second.events[-1]["digest"] == done.events[-1]["digest"]
