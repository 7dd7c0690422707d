"""A keeper begins the next trial of a sweep once there is room for it."""

from __future__ import annotations

from academy.settings import Settings
from academy.store.data import datasets
from academy.store.engine import Sessions
from academy.store.jobs import transitions
from academy.store.jobs.transitions import Claim
from academy.store.plans import sweeps
from academy.sweeps.advance import create_sweep
from academy.sweeps.request import SweepRequest
from workers.keeper.advance_sweeps import AdvanceSweeps


def test_the_next_trial_begins_when_one_is_over(
    context, settings: Settings, sessions: Sessions
) -> None:
    model = settings.model_folders[0] / settings.models.base
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"")
    request = SweepRequest.model_validate(
        {"knobs": {"learning_rate": {"values": [0.001, 0.0001]}}, "parallel": 1}
    )
    with sessions.begin() as session:
        datasets.register(
            session,
            id="dataset_one",
            digest="sha256:one",
            key="datasets/one",
            format="alpaca",
            train_rows=settings.training.min_rows,
            heldout_rows=1,
            statistics={},
            request={},
        )
        sweep_id = create_sweep(session, settings, request, "ci").id
    duty = AdvanceSweeps(context)
    assert duty.do() == 0
    with sessions.begin() as session:
        job = transitions.claim(session, "gpu", "w", 60.0)
        assert job is not None
        held = Claim(job.id, job.fence, job.attempt, "w")
        transitions.start(session, held)
        transitions.finish(session, held, {"summary": {"adapter_loss": 1.0, "steps": 3}})
    assert duty.do() == 1
    with sessions() as session:
        assert [trial.row.number for trial in sweeps.trials(session, sweep_id)] == [1, 2]
