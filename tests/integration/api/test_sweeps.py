"""A sweep begins each trial once, stops poor ones, keeps to its budget, and names the best."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from academy.access.keys import Role
from academy.errors import AcademyError
from academy.events import archive
from academy.events.event import Event, EventId
from academy.lifecycle import FailureCode, Status
from academy.settings import Settings
from academy.store.engine import Sessions, open_sessions
from academy.store.jobs import jobs, transitions
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim, Failure
from academy.store.plans import sweeps
from academy.sweeps.advance import advance_sweeps
from tests.commands import invoke

GRID = {"learning_rate": {"values": [0.001, 0.0001, 0.00001]}, "lora_rank": {"values": [4, 8]}}


class Worker:
    """What a GPU worker does with the jobs of a sweep, without the hours between."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self._sessions = sessions
        self._settings = settings

    def claim(self) -> tuple[Job, Claim]:
        with self._sessions.begin() as session:
            job = transitions.claim(session, "gpu", "worker-1", 60)
            assert job is not None, "no trial is queued"
            held = Claim(job.id, job.fence, job.attempt, "worker-1")
            transitions.start(session, held)
        return job, held

    def measure(self, job: Job, *curve: tuple[int, float]) -> None:
        """Write evaluations, each a step and a loss, as an archived event."""
        with self._sessions.begin() as session:
            first = archive.last_id(session, job.id).seq + 1
            archive.append(
                session,
                job.id,
                [
                    Event(
                        EventId(1, first + number),
                        "evaluation",
                        "2026-01-01T00:00:00Z",
                        {"name": "adapter", "step": step, "rows": 5, "loss": loss},
                    )
                    for number, (step, loss) in enumerate(curve)
                ],
            )

    def finish(self, held: Claim, loss: float, steps: int = 9) -> None:
        with self._sessions.begin() as session:
            transitions.finish(
                session,
                held,
                {"adapter_id": held.job_id, "summary": {"adapter_loss": loss, "steps": steps}},
            )

    def fail(self, held: Claim) -> None:
        failure = Failure(FailureCode.DIVERGED, "The loss was NaN.", "Lower the learning_rate.")
        with self._sessions.begin() as session:
            transitions.fail_or_retry(session, held, failure, max_crashes=3, retry_seconds=0)

    def stop(self, held: Claim) -> None:
        with self._sessions.begin() as session:
            assert transitions.stopped(session, held) == Status.CANCELLED

    def keep(self) -> int:
        return advance_sweeps(self._sessions, self._settings)


@pytest.fixture
def worker(settings: Settings, sessions: Sessions) -> Worker:
    return Worker(settings, sessions)


def _start(admin: Any, **body: Any) -> str:
    answer = admin.post("/train/sweep", json=body)
    assert answer.status_code == 202, answer.json
    return str(answer.json["sweep_id"])


def _shown(admin: Any, sweep_id: str) -> Any:
    answer = admin.get(f"/train/sweep/{sweep_id}")
    assert answer.status_code == 200, answer.json
    return answer.json


def test_a_grid_tries_every_combination_and_names_the_best(
    admin: Any, dataset: str, worker: Worker
) -> None:
    sweep_id = _start(admin, knobs=GRID, training={"num_epochs": 3}, parallel=2)
    losses = [2.0, 1.9, 0.5, 1.2, 3.0, 2.5]
    for loss in losses:
        assert sum(each["status"] == "queued" for each in _shown(admin, sweep_id)["trials"]) > 0
        _, held = worker.claim()
        worker.finish(held, loss)
        worker.keep()
    found = _shown(admin, sweep_id)
    assert (found["status"], found["ended_because"]) == ("finished", "all 6 trials were made")
    assert [trial["loss"] for trial in found["trials"]] == losses
    assert len({str(trial["values"]) for trial in found["trials"]}) == 6
    assert found["best"]["values"] == {"learning_rate": 0.0001, "lora_rank": 4}
    assert found["best"]["job_id"] == found["trials"][2]["job_id"]
    assert "looks better than it is" in found["note"]
    parameters = admin.get(f"/jobs/{found['best']['job_id']}").json["parameters"]
    assert (parameters["learning_rate"], parameters["lora_rank"]) == (0.0001, 4)
    listed = admin.get("/train/sweep").json
    assert [each["sweep_id"] for each in listed["sweeps"]] == [sweep_id]


def test_many_keepers_begin_each_trial_once(
    admin: Any, dataset: str, settings: Settings, worker: Worker
) -> None:
    sweep_id = _start(admin, knobs=GRID, parallel=2)
    for _ in range(2):
        _, held = worker.claim()
        worker.finish(held, 1.0)
    begun: list[int] = []
    gate = threading.Barrier(6)

    def keeper() -> None:
        with open_sessions(settings, pool_size=2) as own:
            gate.wait(timeout=30)
            for _ in range(5):
                begun.append(advance_sweeps(own, settings))

    threads = [threading.Thread(target=keeper) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sum(begun) == 2
    trials = _shown(admin, sweep_id)["trials"]
    assert [trial["number"] for trial in trials] == [1, 2, 3, 4]
    assert len(admin.get("/jobs").json["jobs"]) == 4


def test_a_trial_above_the_median_of_the_others_is_cancelled(
    admin: Any, dataset: str, worker: Worker
) -> None:
    knobs = {"learning_rate": {"values": [0.001, 0.002, 0.003, 0.004]}}
    sweep_id = _start(
        admin,
        knobs=knobs,
        training={"eval_interval_steps": 3},
        parallel=4,
        early_stopping="median",
        min_trials=2,
    )
    for loss in (1.0, 1.1):
        job, held = worker.claim()
        worker.measure(job, (3, loss + 0.5), (6, loss + 0.2), (9, loss))
        worker.finish(held, loss)
    good, good_held = worker.claim()
    worker.measure(good, (3, 1.4))
    poor, poor_held = worker.claim()
    worker.measure(poor, (3, 2.5), (6, 2.4))
    worker.keep()
    found = {trial["job_id"]: trial for trial in _shown(admin, sweep_id)["trials"]}
    assert found[good.id]["status"] == "running"
    assert found[poor.id]["status"] == "cancelling"
    assert "above the median" in found[poor.id]["stopped_because"]
    worker.stop(poor_held)
    worker.finish(good_held, 0.9)
    worker.keep()
    shown = _shown(admin, sweep_id)
    assert shown["status"] == "finished"
    assert shown["best"]["job_id"] == good.id
    cut = next(trial for trial in shown["trials"] if trial["job_id"] == poor.id)
    assert (cut["loss"], cut["status"]) == (2.4, "cancelled")


def test_the_budget_of_steps_is_never_passed(admin: Any, dataset: str, worker: Worker) -> None:
    # 12 rows in batches of 4 are 3 steps an epoch.
    sweep_id = _start(admin, knobs=GRID, training={"num_epochs": 3}, max_total_steps=20, parallel=3)
    assert len(_shown(admin, sweep_id)["trials"]) == 2
    for _ in range(2):
        _, held = worker.claim()
        worker.finish(held, 1.0)
        worker.keep()
    found = _shown(admin, sweep_id)
    assert (found["status"], found["steps"], len(found["trials"])) == ("finished", 18, 2)
    assert found["ended_because"] == "18 of max_total_steps, 20, are spent"


def test_a_trial_that_ends_early_gives_its_steps_back(
    admin: Any, dataset: str, worker: Worker
) -> None:
    sweep_id = _start(admin, knobs=GRID, training={"num_epochs": 3}, max_total_steps=20, parallel=2)
    _, held = worker.claim()
    worker.finish(held, 1.0, steps=2)
    worker.keep()
    assert len(_shown(admin, sweep_id)["trials"]) == 3


def test_a_sweep_whose_first_trials_all_fail_ends(admin: Any, dataset: str, worker: Worker) -> None:
    sweep_id = _start(admin, knobs=GRID, parallel=1)
    for _ in range(3):
        _, held = worker.claim()
        worker.fail(held)
        worker.keep()
    found = _shown(admin, sweep_id)
    assert (found["status"], found["best"]) == ("failed", None)
    assert found["ended_because"] == "the first 3 trials all failed, the last with diverged"
    assert found["trials"][0]["failure"]["next_step"] == "Lower the learning_rate."


def test_a_cancel_stops_every_trial_and_begins_no_other(
    admin: Any, dataset: str, worker: Worker, sessions: Sessions
) -> None:
    sweep_id = _start(admin, knobs=GRID, parallel=3)
    done, held = worker.claim()
    worker.finish(held, 1.0)
    running, held = worker.claim()
    assert admin("DELETE", f"/train/sweep/{sweep_id}").json["status"] == "cancelled"
    assert worker.keep() == 0
    states = {trial["job_id"]: trial["status"] for trial in _shown(admin, sweep_id)["trials"]}
    assert states.pop(done.id) == "finished"
    assert states.pop(running.id) == "cancelling"
    assert list(states.values()) == ["cancelled"]
    with sessions() as session:
        assert jobs.get(session, next(iter(states))).events_closed_at is not None
    again = admin("DELETE", f"/train/sweep/{sweep_id}")
    assert (again.status_code, again.json["code"]) == (409, "conflict")


@pytest.mark.parametrize("method", ["random", "tpe"])
def test_draws_are_repeatable_and_within_their_ranges(
    admin: Any, dataset: str, worker: Worker, method: str
) -> None:
    knobs = {
        "learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
        "lora_rank": {"low": 2, "high": 64, "log": True},
        "weight_decay": {"low": 0, "high": 1},
        "lr_scheduler": {"values": ["linear", "cosine"]},
        "target_modules": {"values": ["all-linear", ["q_proj", "v_proj"]]},
    }
    drawn = []
    for _ in range(2):
        sweep_id = _start(admin, knobs=knobs, method=method, max_trials=9, parallel=1, seed=7)
        for number in range(9):
            _, held = worker.claim()
            worker.finish(held, 2.0 - number / 10)
            worker.keep()
        found = _shown(admin, sweep_id)
        assert found["status"] == "finished"
        drawn.append([trial["values"] for trial in found["trials"]])
    assert drawn[0] == drawn[1]
    for values in drawn[0]:
        assert 1e-5 <= values["learning_rate"] <= 1e-2
        assert isinstance(values["lora_rank"], int) and 2 <= values["lora_rank"] <= 64
        assert 0 <= values["weight_decay"] <= 1
    assert len({values["weight_decay"] for values in drawn[0]}) > 2


def test_random_draws_from_lists_try_each_combination_once(
    admin: Any, dataset: str, worker: Worker
) -> None:
    sweep_id = _start(admin, knobs=GRID, method="random", max_trials=50, parallel=1)
    for _ in range(6):
        _, held = worker.claim()
        worker.finish(held, 1.0)
        worker.keep()
    found = _shown(admin, sweep_id)
    assert found["ended_because"] == "all 6 trials were made"
    assert len({str(trial["values"]) for trial in found["trials"]}) == 6


_RANGE = {"low": 0.0001, "high": 0.01}


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({}, "/knobs", "missing"),
        ({"knobs": {}}, "/knobs", "at least 1"),
        ({"knobs": {"learning_rat": {"values": [1e-3]}}}, "/knobs/learning_rat", "did you mean"),
        ({"knobs": {"device": {"values": ["cpu"]}}}, "/knobs/device", "not what is learnt"),
        ({"knobs": {"lora_rank": {"values": []}}}, "/knobs/lora_rank/values", "at least 1"),
        ({"knobs": {"lora_rank": {"values": [4, 4]}}}, "/knobs/lora_rank", "there twice"),
        ({"knobs": {"lora_rank": {"values": [4, 0]}}}, "/knobs/lora_rank/values/1", "greater"),
        ({"knobs": {"lora_rank": {"values": [4, "8"]}}}, "/knobs/lora_rank/values/1", "integer"),
        ({"knobs": {"lora_rank": {"low": 4}}}, "/knobs/lora_rank", "low and high"),
        ({"knobs": {"lora_rank": {"low": 4, "high": 4}}}, "/knobs/lora_rank", "not below"),
        ({"knobs": {"learning_rate": _RANGE}}, "/knobs/learning_rate", "a grid needs lists"),
        (
            {"knobs": {"learning_rate": {"low": 1e-3, "high": 3.0}}, "method": "random"},
            "/knobs/learning_rate/high",
            "less than or equal",
        ),
        (
            {"knobs": {"weight_decay": {"low": 0, "high": 1, "log": True}}, "method": "random"},
            "/knobs/weight_decay",
            "above 0",
        ),
        ({"knobs": GRID, "max_trials": 5}, "/knobs", "6 combinations, but max_trials is 5"),
        ({"knobs": GRID, "max_trials": 201}, "/max_trials", "200"),
        ({"knobs": GRID, "training": {"num_epochs": 0}}, "/training/num_epochs", "greater"),
        ({"knobs": GRID, "training": {"lora_rank": 4}}, "/knobs/lora_rank", "in training, too"),
        ({"knobs": GRID, "early_stopping": "median"}, "/early_stopping", "not evaluated"),
        ({"knobs": GRID, "max_total_steps": 2}, "/max_total_steps", "the first trial takes 9"),
        ({"knobs": GRID, "speed": 2}, "/speed", "no field 'speed'"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_by_name(
    admin: Any, dataset: str, sessions: Sessions, body: Any, pointer: str, words: str
) -> None:
    answer = admin.post("/train/sweep", json=body)
    assert answer.status_code == 422, answer.json
    assert pointer in [each["pointer"] for each in answer.json["errors"]], answer.json["errors"]
    assert words in str(answer.json["errors"]), answer.json["errors"]
    with sessions() as session:
        assert sweeps.page(session, limit=5) == []
        assert jobs.page(session, limit=5) == []


def test_what_is_not_there_is_said(
    admin: Any, settings: Settings, sessions: Sessions, caller: Callable[[Role], Any]
) -> None:
    assert admin.get("/train/sweep/none").status_code == 404
    assert admin("DELETE", "/train/sweep/none").status_code == 404
    no_dataset = admin.post("/train/sweep", json={"knobs": GRID})
    assert (no_dataset.status_code, no_dataset.json["code"]) == (422, "invalid_request")
    other = {"knobs": GRID, "training": {"dataset_id": "other"}}
    assert admin.post("/train/sweep", json=other).status_code == 404
    viewer = caller(Role.VIEWER)
    assert viewer.post("/train/sweep", json={"knobs": GRID}).status_code == 403
    assert viewer.get("/train/sweep").json["sweeps"] == []


def test_a_repeated_request_begins_no_second_sweep(admin: Any, dataset: str) -> None:
    key = {"Idempotency-Key": "one"}
    first, second = (
        admin.post("/train/sweep", json={"knobs": GRID}, headers=key) for _ in range(2)
    )
    assert first.json == second.json
    assert len(admin.get("/train/sweep").json["sweeps"]) == 1


def test_the_commands_start_show_list_and_cancel_a_sweep(
    served: Any, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACADEMY_URL", f"http://{served.host}")
    monkeypatch.setenv("ACADEMY_API_KEY", served.key)

    def run(*words: str) -> str:
        answer = invoke("sweep", *words)
        if answer.exception is not None:
            raise answer.exception
        return answer.output

    assert "There are no sweeps" in run("list")
    knobs = ("lora_rank=4,8", "learning_rate=1e-5..1e-3:log")
    sweep_id = run("start", *knobs, "--method", "random", "--set", "num_epochs=2").strip()
    assert sweep_id in run("list")
    shown = run("show", sweep_id)
    assert "trials are under way" in shown and shown.count("queued") == 2
    assert run("cancel", sweep_id).startswith("Sweep cancelled")
    assert "cancelled: a client cancelled it" in run("show", sweep_id)
    for bad in ("lora_rank", "lora_rank=", "learning_rate=a..b", "learning_rate=1..2:ln"):
        with pytest.raises(AcademyError, match="is no knob"):
            run("start", bad)
    with pytest.raises(AcademyError, match="/knobs/lora_rank/values/0"):
        run("start", "lora_rank=0")
