"""Several processes train one adapter: the same one as a single process, or none at all."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from academy.artifacts.manifest import verify_manifest
from academy.host.processes import wait_until_gone

pytestmark = pytest.mark.slow  # each of the processes takes seconds to import its libraries

#: Neither noise nor dropout, which each process draws for itself.
RECIPE = {"num_epochs": 2, "learning_rate": 0.001, "eval_interval_steps": 3}
TOGETHER = RECIPE | {"batch_size": 4, "gpus": 2}
SHARDED = TOGETHER | {"shard_model": True}


@pytest.fixture(scope="module")
def alone(workshop: Any) -> Any:
    """One process with twice the batch."""
    return workshop.start(recipe=RECIPE | {"batch_size": 8})


def ranks_of(trainer: Any) -> list[psutil.Process]:
    """The processes that compute, by number."""
    children = psutil.Process(trainer.process.pid).children()
    return sorted(children, key=lambda each: next(a for a in each.cmdline() if "--rank" in a))


@pytest.mark.parametrize("recipe", [TOGETHER, SHARDED], ids=["whole model each", "sharded"])
def test_two_processes_do_what_one_does_with_twice_the_batch(
    workshop: Any, alone: Any, recipe: dict[str, Any]
) -> None:
    both = workshop.start(recipe=recipe).finish()
    one = alone.finish()
    for kind, name in (("metrics", "loss"), ("metrics", "grad_norm"), ("evaluation", "loss")):
        ours, theirs = ([event[name] for event in each.of(kind)] for each in (both, one))
        assert ours == pytest.approx(theirs, rel=1e-3), (kind, name)
    for name in ("step", "total_steps", "tokens"):
        assert [each[name] for each in both.of("metrics")] == [
            each[name] for each in one.of("metrics")
        ], name
    ours, theirs = (
        load_file(Path(each.events[-1]["adapter_path"]) / "adapter_model.safetensors")
        for each in (both, one)
    )
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        torch.testing.assert_close(weight, theirs[name], rtol=1e-2, atol=1e-4)
    assert verify_manifest(both.out / "adapter") == both.events[-1]["digest"]


def test_a_stopped_training_of_two_processes_goes_on_from_its_checkpoint(workshop: Any) -> None:
    recipe = TOGETHER | {"num_epochs": 4, "lora_dropout": 0.2, "neftune_noise_alpha": 5.0}
    undisturbed = workshop.start(recipe=recipe)
    first = workshop.start(recipe=recipe)
    first.until_step(4)
    first.process.send_signal(signal.SIGTERM)
    stopped = first.wait()
    assert stopped.status == 3, (stopped.of("error"), stopped.stderr)
    checkpoint = stopped.of("checkpoint")[-1]
    assert 4 <= checkpoint["step"] < 12
    second = workshop.start(
        recipe=recipe, attempt=2, resume_from=checkpoint["path"], out=stopped.out
    ).finish()
    assert second.of("metrics")[0]["step"] == checkpoint["step"] + 1
    # Two addends have one sum, so with two processes even the digests are the same.
    assert second.events[-1]["digest"] == undisturbed.finish().events[-1]["digest"]


def test_a_killed_process_ends_the_whole_training(workshop: Any) -> None:
    trainer = workshop.start(recipe=TOGETHER | {"num_epochs": 40})
    trainer.until_step(1)
    ranks = ranks_of(trainer)
    ranks[1].kill()
    ended = trainer.wait()
    assert ended.status == 1, ended.stderr
    [error] = ended.of("error")
    assert error["code"] == "trainer_crashed"
    assert "Process 1 of the 2" in error["message"]
    assert "SIGKILL" in error["message"]
    assert not (ended.out / "adapter").exists()
    assert all(wait_until_gone(rank.pid, timeout_seconds=10) for rank in ranks)


def test_no_process_outlives_the_one_that_started_it(workshop: Any) -> None:
    trainer = workshop.start(recipe=TOGETHER | {"num_epochs": 40})
    trainer.until_step(1)
    ranks = ranks_of(trainer)
    assert len(ranks) == 2
    trainer.process.kill()
    assert all(wait_until_gone(rank.pid, timeout_seconds=20) for rank in ranks)


def test_what_every_process_refuses_is_said_once(workshop: Any) -> None:
    recipe = TOGETHER | {"target_modules": ["no_such_layer"]}
    refused = workshop.start(recipe=recipe).wait()
    assert refused.status == 2, refused.stderr
    [error] = refused.of("error")
    assert (error["code"], error) == ("bad_spec", refused.events[-1])
    assert "no_such_layer" in error["message"]
