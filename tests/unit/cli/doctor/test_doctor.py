"""`academy doctor` says what is in order, what is not, and what to do."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from academy.cli.doctor import checkup
from academy.cli.doctor.checks import CHECKS
from academy.cli.doctor.findings import Finding, State
from academy.cli.doctor.variables import doubts_about
from academy.settings import Settings
from tests.warm.python import WarmPython

Doctor = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def doctor(warm_commands: WarmPython, tmp_path: Path) -> Doctor:
    def run(**environ: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "ACADEMY_HOME": str(tmp_path / "home"), **environ}
        return warm_commands.run("academy.cli", "doctor", "--json", env=env)

    return run


def by_name(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    return {each["name"]: each for each in json.loads(done.stdout)["checks"]}


def test_a_fresh_machine_is_healthy_and_nothing_is_left_behind(
    doctor: Doctor, tmp_path: Path
) -> None:
    done = doctor(ACADEMY_MODELS=str(tmp_path / "models"))
    found = by_name(done)
    assert done.returncode == 0, done.stdout
    assert list(found) == [name for name, _ in CHECKS]
    assert "PostgreSQL" in found["PostgreSQL"]["detail"]
    assert found["model cache"]["state"] == "missing"
    assert str(tmp_path / "models") in found["model cache"]["detail"]
    assert found["model cache"]["todo"]
    assert list(tmp_path.iterdir()) == []


def test_servers_of_ones_own_are_asked(doctor: Doctor, database_url: str, valkey_url: str) -> None:
    done = doctor(ACADEMY_DATABASE_URL=database_url, ACADEMY_REDIS_URL=valkey_url)
    found = by_name(done)
    assert done.returncode == 0, done.stdout
    assert {found[name]["state"] for name in ("PostgreSQL", "Redis", "migrations")} == {"ok"}
    assert database_url.partition("@")[0].rpartition(":")[2] not in done.stdout  # the password


def test_a_schema_that_is_behind_makes_it_fail(doctor: Doctor, empty_database_url: str) -> None:
    done = doctor(ACADEMY_DATABASE_URL=empty_database_url)
    assert done.returncode == 1
    assert by_name(done)["migrations"]["todo"] == "Run `academy migrate`."


def test_servers_that_do_not_answer_are_broken(doctor: Doctor, free_port: int) -> None:
    done = doctor(
        ACADEMY_DATABASE_URL=f"postgresql://a:b@127.0.0.1:{free_port}/x",
        ACADEMY_REDIS_URL=f"redis://127.0.0.1:{free_port}/0",
    )
    found = by_name(done)
    assert done.returncode == 1
    assert found["PostgreSQL"]["state"] == found["Redis"]["state"] == "broken"
    assert "ACADEMY_REDIS_URL" in found["Redis"]["todo"]


def test_an_artifact_store_that_cannot_be_written_is_broken(doctor: Doctor) -> None:
    done = doctor(ACADEMY_ARTIFACTS="/proc/none")
    assert done.returncode == 1
    assert by_name(done)["artifact store"]["state"] == "broken"


def test_a_check_that_hangs_is_a_finding_after_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release = threading.Event()

    def hang(settings: Settings) -> Finding:
        release.wait(30)
        return Finding("slow", State.OK, "late")

    def fail(settings: Settings) -> Finding:
        raise OSError("no such thing")

    monkeypatch.setattr(checkup, "CHECKS", (("slow", hang), ("failing", fail)))
    slow, failing = checkup.examine(Settings.from_env({}), timeout_seconds=0.2)
    release.set()
    assert (slow.state, slow.detail) == (State.BROKEN, "no answer within 0.2 s")
    assert failing.detail == "OSError: no such thing"


def test_a_misspelt_setting_is_named_with_the_nearest_one(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor(
        ACADEMY_LEASE_SECOND="5",
        ACADEMY_VERSION="local",  # of docker compose
        MEMORY_ROOT="/data/memory",
        DOCKER_CUDA_IMAGE="nvidia/cuda:12.1.0-runtime-ubuntu22.04",
        ACADEMY_MODELS=str(tmp_path / "models"),
    )
    found = by_name(done)["settings"]
    assert (done.returncode, found["state"]) == (1, "broken"), done.stdout
    assert (
        "ACADEMY_LEASE_SECOND is no setting; did you mean ACADEMY_LEASE_SECONDS?"
        in (found["detail"])
    )
    assert "DOCKER_CUDA_IMAGE has no effect" in found["detail"]
    assert "MEMORY_ROOT has no effect" in found["detail"]
    assert "ACADEMY_VERSION" not in found["detail"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DEFAULT_LORA_RNK", "DEFAULT_LORA_RANK"),
        ("ENABLE_GPUS", "ENABLE_GPU"),
        ("WORKSPACE_ROOTS", "WORKSPACE_ROOT"),
        ("ACADEMYHOME", "ACADEMY_HOME"),
        ("academy_lora_rank", "ACADEMY_LORA_RANK"),
        ("Academy_Home", "ACADEMY_HOME"),
        ("enable_gpu", "ENABLE_GPU"),
    ],
)
def test_a_name_that_is_nearly_a_settings_is_named_with_it(name: str, meant: str) -> None:
    assert doubts_about({name: "1"}) == [f"{name} is no setting; did you mean {meant}?"]


@pytest.mark.parametrize(
    "name",
    [
        *("ENABLE_GUI", "ENABLE_CPU", "DEFAULT_MODEL", "WORKSPACE", "WORKSPACE_DIR"),
        *("RUNNER_WORKSPACE", "TRAINING_STAGE", "PIP_DEFAULT_TIMEOUT", "PATH", "PORT", "_"),
    ],
)
def test_the_variables_of_other_programs_are_not_doubted(name: str) -> None:
    assert doubts_about({name: "1"}) == []


def test_the_table_in_a_pipe_has_every_row_on_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sentence = "a word and " * 90 + "the end"
    look = Finding("settings", State.BROKEN, sentence, "Correct it.", necessary=True)
    monkeypatch.setattr(checkup, "CHECKS", (("settings", lambda settings: look),))
    assert not checkup.print_report(Settings.from_env({}), as_json=False)
    _, row, said = capsys.readouterr().out.splitlines()
    assert row.split() == f"settings broken {sentence} Correct it.".split()
    assert said.startswith("Something that Academy needs")


def test_what_is_switched_off_is_said(doctor: Doctor) -> None:
    found = by_name(doctor(ENABLE_ACADEMY="false", ENABLE_GPU="false"))
    assert found["settings"]["detail"].startswith("Academy is switched off")
    assert "ACADEMY_ENABLE_GPU is false" in found["GPU and driver"]["detail"]
