"""The real trainer under a real worker: killed and resumed, and on a disk that is full."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.faults import invariants
from tests.faults.form import Form
from tests.faults.lanes import side_by_side
from tests.faults.mounts import nothing_half_published, small_disk
from tests.faults.programs import Program
from tests.faults.report import Report
from tests.faults.stack import Stack
from tests.integration.trainer.conftest import make_dataset
from tests.waiting import until

#: Dropout, accumulation and evaluations on the way: everything with a state of its own.
RECIPE: dict[str, Any] = {
    "num_epochs": 10,
    "batch_size": 2,
    "gradient_accumulation": 2,
    "learning_rate": 0.01,
    "lora_dropout": 0.2,
    "weight_decay": 0.01,
    "eval_interval_steps": 5,
    "checkpoint_interval_steps": 3,
    "dtype": "float32",
}
#: One thread each: two would not be faster on a tiny model, and trainers run side by side.
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


@pytest.fixture
def real(open_stack: Callable[..., Stack], tmp_path: Path) -> Iterator[Stack]:
    """A stack whose trainer, base model and dataset are real, if small."""
    stack = open_stack(trainer_command=("python", "-m", "academy.trainer"))
    model = stack.folder / "models" / "tiny"
    shutil.rmtree(model)
    made = [sys.executable, "-m", "academy.trainer.tiny", str(model)]
    subprocess.run(made, check=True, timeout=120, capture_output=True)
    stack.add_dataset("dataset_real", make_dataset(tmp_path / "dataset"))
    stack.keeper()
    yield stack
    stack.close()


def test_a_killed_and_resumed_training_ends_with_the_very_same_adapter(
    real: Stack, form: Form, report: Report
) -> None:
    row = report.row("real training, its supervisor killed: equal tensor for tensor")
    workers = [real.worker(_env=dict(ENVIRONMENT)) for _ in range(2)]
    real.ready(len(workers))
    undisturbed, killed = (real.queue(RECIPE, "dataset_real") for _ in range(2))
    until(
        lambda: (real.job(killed).checkpoint or {}).get("step", 0) >= 9,
        120,
        lambda: f"{real.statuses()}\n{real.logs()}",
    )
    owner = real.owner_of(killed)
    assert owner in workers and real.is_(killed, "running")(), real.logs()
    owner.kill()
    began = time.monotonic()
    owner.start()
    invariants.check(real, within=180)
    row.add(time.monotonic() - began)
    again = real.job(killed)
    assert (again.status, again.attempt) == ("finished", 2), f"{again.status}\n{real.logs()}"
    said = [str(each.fields.get("message", "")) for each in real.events(killed)]
    assert any(each.startswith("Resuming from the checkpoint of step") for each in said), said
    left, right = side_by_side(lambda job_id: _tensors(real, job_id), [undisturbed, killed])
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert np.array_equal(tensor, right[name]), name


def test_a_full_disk_in_the_middle_of_a_checkpoint_is_said_and_frees_the_slot(
    real: Stack, report: Report
) -> None:
    row = report.row("disk full in the middle of a checkpoint: failed with `storage`")
    (real.home / "work").mkdir()
    with small_disk(real.home / "work", "192k") as disk:
        worker: Program = real.worker(_env=dict(ENVIRONMENT), max_crashes=1)
        real.ready(1)
        job_id = real.queue(RECIPE, "dataset_real")
        row.add(until(real.is_(job_id, "failed", "finished"), 120, lambda: real.logs()))
        job = real.job(job_id)
        assert job.failure_code == "storage", f"{job.failure_message}\n{real.logs()}"
        assert "No space left" in str(job.failure_message) and job.failure_next_step
        until(lambda: any(_says_storage(each) for each in real.events(job_id)), 30, "it is said")
        nothing_half_published(real)
        assert not list((real.home / "artifacts").glob("adapters/*"))
        # The slot is free: with room on the disk the next job of this worker ends well.
        disk.grow("64m")
        after = real.queue({**RECIPE, "num_epochs": 1}, "dataset_real")
        until(real.is_(after, "finished"), 120, lambda: real.logs())
        assert worker.is_running
        invariants.check(real)
        worker.stop()


def _tensors(stack: Stack, job_id: str) -> dict[str, Any]:
    result = stack.job(job_id).result or {}
    folder = stack.store.fetch(result["adapter_key"], result["digest"])
    return dict(load_file(folder / "adapter_model.safetensors"))


def _says_storage(event: Any) -> bool:
    failure = event.fields.get("failure") or {}
    return event.type == "status" and failure.get("code") == "storage"
