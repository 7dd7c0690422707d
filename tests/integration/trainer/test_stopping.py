"""Being stopped, killed and resumed: nothing is lost and nothing is different."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from academy.artifacts.manifest import verify_manifest

#: Dropout, accumulation and evaluations on the way: everything with a state of its own.
RECIPE = {
    "num_epochs": 4,
    "batch_size": 2,
    "gradient_accumulation": 2,
    "lora_dropout": 0.2,
    "neftune_noise_alpha": 5.0,
    "weight_decay": 0.01,
    "eval_interval_steps": 5,
    "early_stopping_patience": 5,
}


@pytest.fixture(scope="module")
def undisturbed(workshop: Any) -> Any:
    """A training that runs through, beside those that are disturbed."""
    return workshop.start(recipe=RECIPE, cold=True)


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    left, right = (
        load_file(Path(each["adapter_path"]) / "adapter_model.safetensors") for each in (one, other)
    )
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name
    assert one["digest"] == other["digest"], "the folders' other files differ"


def test_a_stopped_training_goes_on_to_the_very_same_adapter(
    workshop: Any, undisturbed: Any
) -> None:
    first = workshop.start(recipe=RECIPE)
    first.until_step(7)
    first.process.send_signal(signal.SIGTERM)
    stopped = first.wait()
    assert stopped.status == 3, stopped.stderr
    checkpoint = stopped.of("checkpoint")[-1]
    assert 7 <= checkpoint["step"] < 24
    assert verify_manifest(Path(checkpoint["path"])) == checkpoint["digest"]
    assert not (stopped.out / "adapter").exists()
    second = workshop.start(
        recipe=RECIPE, attempt=2, resume_from=checkpoint["path"], out=stopped.out
    ).finish()
    assert second.of("metrics")[0]["step"] == checkpoint["step"] + 1
    assert "evaluating_base" not in [event["stage"] for event in second.of("stage")]
    assert_same(undisturbed.finish().events[-1], second.events[-1])


def test_a_killed_training_goes_on_to_the_very_same_adapter(
    workshop: Any, undisturbed: Any
) -> None:
    first = workshop.start(recipe=RECIPE)
    first.until(lambda event: event["type"] == "checkpoint" and event["step"] >= 9)
    first.process.kill()
    killed = first.wait()
    assert killed.status == -signal.SIGKILL
    checkpoint = killed.of("checkpoint")[-1]["path"]
    second = workshop.start(recipe=RECIPE, resume_from=checkpoint).finish()
    assert_same(undisturbed.finish().events[-1], second.events[-1])


def test_ctrl_c_while_the_base_is_measured_writes_a_checkpoint_too(workshop: Any) -> None:
    trainer = workshop.start()
    trainer.until(lambda event: event["type"] == "stage" and event["stage"] == "evaluating_base")
    trainer.process.send_signal(signal.SIGINT)
    outcome = trainer.wait()
    assert outcome.status == 3, outcome.stderr
    checkpoint = Path(outcome.of("checkpoint")[-1]["path"])
    verify_manifest(checkpoint)


@pytest.mark.parametrize("stage", ["preparing", "training", "evaluating", "saving"])
def test_a_stop_at_any_stage_ends_as_documented_and_publishes_nothing_half(
    workshop: Any, stage: str
) -> None:
    # A short stage may be over before the signal arrives; then nothing was stopped, but all is
    # whole, and another trainer gets it sooner.
    for _ in range(5):
        outcome = _stopped_at(workshop, stage)
        assert not list(outcome.out.rglob(".*.new")), "something half written was left"
        checkpoints = [Path(event["path"]) for event in outcome.of("checkpoint")]
        for path in checkpoints[-2:]:  # older ones are removed
            verify_manifest(path)
        if outcome.status == 0:
            verify_manifest(outcome.out / "adapter")
            if stage == "saving":  # what is nearly done is finished
                return
            continue
        assert outcome.status == 3, outcome.stderr
        assert not (outcome.out / "adapter").exists()
        assert bool(checkpoints) == (stage != "preparing")
        assert stage != "saving"
        return
    pytest.fail(f"no trainer was stopped while {stage}")


def _stopped_at(workshop: Any, stage: str) -> Any:
    # Preparing is importing libraries, for the most part.
    trainer = workshop.start(recipe={"num_epochs": 1}, cold=stage == "preparing")
    trainer.until(lambda event: event.get("stage") == stage)
    trainer.process.send_signal(signal.SIGTERM)
    return trainer.wait()


def test_it_ends_at_once_when_the_supervisor_is_gone(workshop: Any) -> None:
    lifeline = workshop.start("--lifeline", recipe={"num_epochs": 100})
    output = workshop.start(recipe={"num_epochs": 100})
    lifeline.until_step(2)
    lifeline.process.stdin.close()
    assert lifeline.process.wait(timeout=20) == 1
    output.until_step(2)
    output.process.stdout.close()
    assert output.process.wait(timeout=20) == 1
    for trainer in (lifeline, output):
        assert not (trainer.out / "adapter").exists()


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(
    workshop: Any, undisturbed: Any, tmp_path: Path
) -> None:
    good = undisturbed.finish().out / "checkpoints" / "step-00000024"
    bad = Path(shutil.copytree(good, tmp_path / "bad"))
    state = (bad / "state.json").read_text()
    (bad / "state.json").write_text(state.replace('"step": 24', '"step": 23'))
    other = workshop.start(recipe=RECIPE | {"seed": 9}, resume_from=str(good))
    damaged = workshop.start(recipe=RECIPE, resume_from=str(bad))
    for trainer, code, named in (
        (other, "bad_spec", "another recipe"),
        (damaged, "digest_mismatch", str(bad)),
    ):
        outcome = trainer.wait()
        assert outcome.status == 2, outcome.stderr
        [error] = outcome.of("error")
        assert error["code"] == code
        assert named in error["message"]
