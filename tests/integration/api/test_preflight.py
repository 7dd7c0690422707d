"""A preflight tells tokens, memory, time and workers, and queues nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs, transitions, workers
from academy.store.jobs.tables import Job
from academy.store.jobs.transitions import Claim
from tests.commands import invoke
from tests.integration.rows import register_rows

GIB = 1 << 30


@pytest.fixture
def models(tiny_model: Path) -> Path:
    """A folder with a real, tiny base model."""
    return tiny_model.parent


@pytest.fixture
def settings(settings: Settings, models: Path) -> Settings:
    return settings.changed(models=(models,))


def _row(number: int, prompt: str, answer: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {"id": f"r{number}", "messages": messages}


@pytest.fixture
def rows(settings: Settings, sessions: Sessions, tmp_path: Path) -> str:
    """A dataset with 8 short rows, one long prompt and one long answer."""
    short = [_row(number, "repeat: alpha", "alpha beta") for number in range(8)]
    long = [_row(8, "word " * 300, "short"), _row(9, "short", "word " * 300)]
    return register_rows(settings, sessions, tmp_path / "rows", [*short, *long])


def _worker(sessions: Sessions, name: str, **facts: Any) -> None:
    given = {
        "queue": "gpu",
        "host": "h",
        "pid": 1,
        "versions": {},
        "gpus": [],
        "obstacle": None,
        "cpus": 4,
        "memory_bytes": 8 * GIB,
    }
    with sessions.begin() as session:
        workers.seen(session, name, **given | facts)


def _look(admin: Any, **body: Any) -> Any:
    answer = admin.post("/train/preflight", json=body)
    assert answer.status_code == 200, answer.json
    return answer.json


def test_rows_are_counted_as_the_trainer_will_see_them(
    admin: Any, rows: str, sessions: Sessions
) -> None:
    found = _look(admin, dataset_id=rows, max_seq_length=128, num_epochs=2)
    tokens = found["tokens"]
    assert (tokens["rows"], tokens["usable_rows"], tokens["truncated_rows"]) == (10, 9, 1)
    assert tokens["left_out"] == [
        {"reason": "the answer does not fit into max_seq_length", "rows": 1}
    ]
    assert tokens["fully_masked_rows"] == 0
    assert sum(each["rows"] for each in tokens["histogram"]) == 9
    assert tokens["row_tokens"]["longest"] <= 128
    assert 0 < tokens["supervised_share"] < 1
    assert tokens["supervised_share"] == pytest.approx(
        tokens["supervised_tokens"] / tokens["tokens"], abs=1e-3
    )
    assert found["total_steps"] == 2 * 3
    assert (found["verdict"], found["worker_types"]) == ("no_worker", [])
    assert "wait in the queue" in found["message"]
    with sessions() as session:
        assert jobs.page(session, limit=5) == []


def test_each_kind_of_worker_gets_its_recipe_memory_and_time(
    admin: Any, rows: str, sessions: Sessions
) -> None:
    gpu = {"uuid": "GPU-1", "name": "NVIDIA L4", "memory_bytes": 24 * GIB}
    _worker(sessions, "cpu-1")
    _worker(sessions, "cpu-2")
    _worker(sessions, "gpu-1", gpus=[gpu], versions={"bitsandbytes": "0.50.2"})
    _worker(sessions, "gpu-2", gpus=[{**gpu, "name": "Unheard Of"}], obstacle="the disk is full")
    _worker(sessions, "curation-1", queue="curation")
    found = _look(admin, dataset_id=rows)
    kinds = {each["device"]: each for each in found["worker_types"]}
    assert sorted(kinds) == ["NVIDIA L4", "Unheard Of", "cpu"]
    cpu, l4, unheard = kinds["cpu"], kinds["NVIDIA L4"], kinds["Unheard Of"]
    assert sorted(cpu["workers"]) == ["cpu-1", "cpu-2"]
    assert (cpu["recipe"]["device"], cpu["recipe"]["dtype"]) == ("cpu", "float32")
    assert (l4["recipe"]["dtype"], l4["recipe"]["load_in_4bit"]) == ("bfloat16", True)
    for kind in (cpu, l4):
        assert kind["could_take_it"] and kind["why_not"] == []
        assert kind["memory"]["total"] < kind["memory_available_bytes"]
        assert 0 < kind["seconds_low"] < kind["seconds"] < kind["seconds_high"]
    assert "measured on this host" in cpu["time_basis"]
    assert "data sheet" in l4["time_basis"]
    assert unheard["why_not"] == ["gpu-2: the disk is full"]
    assert unheard["seconds"] is None and "nothing is known" in unheard["time_basis"]
    assert found["verdict"] == "ready"


def test_a_worker_with_too_little_memory_says_so(admin: Any, rows: str, sessions: Sessions) -> None:
    _worker(sessions, "small", memory_bytes=GIB // 4)
    found = _look(admin, dataset_id=rows)
    kind = found["worker_types"][0]
    assert (found["verdict"], kind["could_take_it"]) == ("no_worker", False)
    assert "a process of it may take 0.25 GiB" in kind["why_not"][0]
    assert [each["fits"] for each in kind["fallback"]] == [False] * len(kind["fallback"])
    assert len(kind["fallback"]) > 2


def test_the_limit_of_the_launch_counts_and_processes_share_it(
    admin: Any, rows: str, sessions: Sessions
) -> None:
    _worker(sessions, "cpu-1")
    asked = {"dataset_id": rows, "gpus": 2, "device": "cpu", "batch_size": 2}
    wide = _look(admin, **asked)["worker_types"][0]
    assert wide["memory_available_bytes"] == 4 * GIB
    limited = _look(admin, **asked, limits={"memory_bytes": GIB})["worker_types"][0]
    assert limited["memory_available_bytes"] == GIB // 2


def test_hosts_are_promised_only_where_there_are_enough(
    admin: Any, rows: str, sessions: Sessions
) -> None:
    for number in (1, 2):
        _worker(sessions, f"cpu-{number}", host=f"h{number}")
    assert _look(admin, dataset_id=rows, hosts=2)["verdict"] == "ready"
    found = _look(admin, dataset_id=rows, hosts=3)
    assert found["verdict"] == "no_worker" and "asks for 3 hosts" in found["message"]


def test_what_only_a_gpu_can_do_is_not_promised_by_a_cpu(
    admin: Any, rows: str, sessions: Sessions
) -> None:
    _worker(sessions, "cpu-1")
    found = _look(admin, dataset_id=rows, device="cuda")
    assert found["worker_types"][0]["could_take_it"] is False
    assert "no usable CUDA GPU" in found["worker_types"][0]["why_not"][0]


def test_finished_trainings_make_the_time_a_measured_one(
    admin: Any, rows: str, sessions: Sessions
) -> None:
    _worker(sessions, "cpu-1")
    recipe = _look(admin, dataset_id=rows)["worker_types"][0]["recipe"]
    summary = {"tokens_per_second": 100.0, "recipe": recipe}
    for number in range(3):
        job = Job(
            id=f"training_{number}", kind="training", queue="gpu", parameters={}, base_model="tiny"
        )
        with sessions.begin() as session:
            transitions.submit(session, job)
        with sessions.begin() as session:
            claimed = transitions.claim(session, "gpu", "w", 60)
            assert claimed is not None
            held = Claim(claimed.id, claimed.fence, claimed.attempt, "w")
            transitions.finish(session, held, {"summary": summary})
    found = _look(admin, dataset_id=rows)
    kind = found["worker_types"][0]
    assert kind["time_basis"].startswith("tokens per second of 3 finished trainings")
    tokens = found["tokens"]["tokens"] * recipe["num_epochs"]
    assert kind["seconds"] == pytest.approx(tokens / 100)


def test_counts_are_remembered_until_what_they_depend_on_changes(
    admin: Any, rows: str, settings: Settings
) -> None:
    folder = settings.home / "cache" / "preflight"
    first = _look(admin, dataset_id=rows)
    assert len(list(folder.glob("*.json"))) == 1
    (kept,) = folder.glob("*.json")
    assert _look(admin, dataset_id=rows, learning_rate=0.001)["tokens"] == first["tokens"]
    kept.write_text("{")  # a damaged note is counted again
    assert _look(admin, dataset_id=rows)["tokens"] == first["tokens"]
    _look(admin, dataset_id=rows, max_seq_length=64)
    assert len(list(folder.glob("*.json"))) == 2


def test_a_dataset_of_which_no_row_is_left_is_said_to_be_one(
    admin: Any, settings: Settings, sessions: Sessions, tmp_path: Path
) -> None:
    name = register_rows(
        settings, sessions, tmp_path / "long", [_row(n, "short", "word " * 300) for n in range(9)]
    )
    found = _look(admin, dataset_id=name, max_seq_length=64)
    assert (found["verdict"], found["tokens"]["usable_rows"]) == ("no_rows", 0)
    assert (found["tokens"]["histogram"], found["worker_types"]) == ([], [])


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"dataset_id": "none"}, 404, "no dataset 'none'"),
        ({"base_model": "none"}, 422, "'none' was not found"),
        ({"lora_rank": 0}, 422, "lora_rank"),
        ({"speed": 1}, 422, "no field 'speed'"),
    ],
)
def test_what_cannot_be_trained_is_refused_as_by_train(
    admin: Any, rows: str, body: Any, status: int, words: str
) -> None:
    answer = admin.post("/train/preflight", json=body)
    assert (answer.status_code, words in str(answer.json)) == (status, True), answer.json


def test_a_row_that_the_trainer_refuses_is_named(
    admin: Any, settings: Settings, sessions: Sessions, tmp_path: Path
) -> None:
    bad = [_row(n, "a", "b") for n in range(8)] + [{"id": "r9", "messages": []}]
    name = register_rows(settings, sessions, tmp_path / "bad", bad)
    answer = admin.post("/train/preflight", json={"dataset_id": name})
    assert (answer.status_code, answer.json["code"]) == (422, "bad_dataset")
    assert "line 9" in answer.json["detail"]


def test_the_command_shows_it_in_a_table(
    served: Any, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACADEMY_URL", f"http://{served.host}")
    monkeypatch.setenv("ACADEMY_API_KEY", served.key)
    answer = invoke("preflight", "--dataset", rows)
    assert answer.exception is None, answer.output
    assert "No GPU worker is alive" in answer.output
    assert "9 of 10 usable" in answer.output
