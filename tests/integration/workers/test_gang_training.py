"""The real trainer on two hosts, from the request to the adapter, with a loss on the way."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from academy.artifacts.store import ArtifactStore
from academy.store.data import datasets
from academy.store.models import adapters
from academy.training.request import TrainingRequest
from academy.training.submission import submit_training
from tests.integration.trainer.conftest import make_dataset
from tests.integration.workers.conftest import Yard
from tests.warm.python import WarmPython

pytestmark = pytest.mark.slow  # each of the processes takes seconds to import its libraries

RECIPE = {
    "hosts": 2,
    "device": "cpu",
    "dtype": "float32",
    "num_epochs": 100,
    "max_steps": 60,
    "batch_size": 4,
    "lora_rank": 4,
    "checkpoint_interval_steps": 10,
    "seed": 1,
}


@pytest.fixture
def real(yard: Yard, tmp_path: Path, tiny_model: Path, warm_trainers: WarmPython) -> Yard:
    """A yard whose workers train a tiny model by the real trainer."""
    rows = make_dataset(tmp_path / "rows")
    yard.settings = yard.settings.changed(
        models=(tiny_model.parent,),
        trainer_command=tuple(warm_trainers.with_warm_children("academy.trainer")),
        min_train_rows=1,
    )
    store = ArtifactStore(yard.settings)
    key = store.publish(rows, "datasets")
    with yard.sessions.begin() as session:
        datasets.register(
            session,
            id="dataset_real",
            digest=f"sha256:{key.rpartition('/')[2]}",
            key=key,
            format="alpaca",
            train_rows=24,
            heldout_rows=8,
            statistics={},
            request={},
        )
    return yard


def ranks(real: Yard) -> list[psutil.Process]:
    """The processes of both hosts that compute, the first one first."""
    found = []
    for each in psutil.process_iter():
        try:
            words = each.cmdline()
            if any(str(real.folder) in word for word in words) and "--lifeline" in words:
                found += [(word, each) for word in words if word.startswith("--rank=")]
        except psutil.Error:
            continue  # it ended while we looked
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def test_a_training_on_two_hosts_outlives_the_loss_of_a_process(real: Yard) -> None:
    for name in ("a", "b"):
        real.worker(
            {
                "ACADEMY_HOST_NAME": name,
                "CUDA_VISIBLE_DEVICES": "",
                "OMP_NUM_THREADS": "1",
            }
        )
    real.keeper()
    with real.sessions.begin() as session:
        request = TrainingRequest.model_validate({**RECIPE, "dataset_id": "dataset_real"})
        job_id = submit_training(session, real.settings, request, "a test").id
    real.until(lambda: bool((real.job(job_id).checkpoint or {}).get("step")), "a checkpoint")
    first, second = ranks(real)
    second.send_signal(signal.SIGKILL)
    real.until(lambda: "retry" in real.reasons(job_id), "it is retried as a whole")
    detail = real.detail(job_id, "retry")
    assert detail["code"] == "trainer_crashed" and "Process 1 of the 2" in detail["message"]
    assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE
    real.until(lambda: real.job(job_id).status == "finished", "a new gang finishes it")
    job = real.job(job_id)
    assert job.attempt == 2 and real.reasons(job_id).count("completed") == 1
    assert job.result is not None and job.result["summary"]["steps"] == 60
    with real.sessions() as session:
        made = adapters.get(session, job_id)
    assert made.metrics["adapter_loss"] < made.metrics["base_loss"]
    assert made.parameters["hosts"] == 2
