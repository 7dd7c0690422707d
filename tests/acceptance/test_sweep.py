"""A sweep of real trainings, from the request to its best trial."""

from __future__ import annotations

from typing import Any

import httpx

from tests.acceptance.answers import answered

RECIPE = {"batch_size": 4, "max_eval_rows": 16, "max_seq_length": 256, "lora_rank": 4}

#: With it the method draws the poor learning rate last.
SEED = 1


def swept(stack: Any, http: httpx.Client, **wanted: Any) -> dict[str, Any]:
    """The sweep when it is over."""
    started = answered(http.post("/train/sweep", json=wanted), 202)

    def ended() -> dict[str, Any] | None:
        shown = answered(http.get(f"/train/sweep/{started['sweep_id']}"))
        return None if shown["status"] == "running" else shown

    found: dict[str, Any] = stack.until(ended, "the sweep's end", 240)
    return found


def measured(http: httpx.Client, trial: dict[str, Any]) -> float:
    """The held-out loss that the trial's own job ended with."""
    job = answered(http.get(f"/train/{trial['job_id']}/status"))
    assert job["status"] == "finished", job
    loss: float = job["result"]["summary"]["adapter_loss"]
    return loss


def test_the_best_trial_is_the_one_whose_adapter_has_the_lowest_held_out_loss(
    stack: Any, http: httpx.Client, dataset_id: str
) -> None:
    rates = [0.00001, 0.02, 0.0003]
    found = swept(
        stack,
        http,
        training=RECIPE | {"dataset_id": dataset_id, "max_steps": 3},
        knobs={"learning_rate": {"values": rates}},
        max_total_steps=9,
    )
    assert (found["status"], found["ended_because"]) == ("finished", "all 3 trials were made")
    trials = found["trials"]
    assert sorted(each["values"]["learning_rate"] for each in trials) == sorted(rates)
    losses = [measured(http, each) for each in trials]
    assert [each["loss"] for each in trials] == losses
    assert len(set(losses)) == 3
    best = found["best"]
    assert best["loss"] == min(losses)
    assert best["values"] == {"learning_rate": 0.02}
    assert found["steps"] == 9
    adapters = {each["adapter_id"] for each in http.get("/adapters").json()}
    assert best["adapter_id"] in adapters


def test_a_trial_that_learns_nothing_is_stopped_on_the_way(
    stack: Any, http: httpx.Client, dataset_id: str
) -> None:
    found = swept(
        stack,
        http,
        training=RECIPE | {"dataset_id": dataset_id, "max_steps": 24, "eval_interval_steps": 2},
        knobs={"learning_rate": {"values": [0.0000001, 0.01, 0.02]}},
        method="tpe",
        seed=SEED,
        parallel=1,
        early_stopping="median",
        min_trials=2,
    )
    assert found["status"] == "finished", found
    *good, poor = found["trials"]
    assert [each["status"] for each in good] == ["finished", "finished"]
    assert poor["status"] == "cancelled", found
    assert "above the median" in poor["stopped_because"]
    assert poor["loss"] > found["best"]["loss"] == min(measured(http, each) for each in good)
    # What it did not do is given back.
    assert poor["steps"] < 24 and found["steps"] == 48 + poor["steps"]
