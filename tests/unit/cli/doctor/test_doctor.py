"""`academy doctor` says what is in order, what is not, and what to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from academy.cli.doctor import checkup
from academy.cli.doctor.checks import CHECKS
from academy.cli.doctor.findings import Check, Finding, State
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


def needed(name: str, look: Callable[[Settings], Finding]) -> Check:
    return Check(name, lambda settings: (look(settings),), lambda settings: True)


def optional(name: str, look: Callable[[Settings], Finding]) -> Check:
    return Check(name, lambda settings: (look(settings),), lambda settings: False)


def by_name(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    return {each["name"]: each for each in json.loads(done.stdout)["checks"]}


def test_a_fresh_machine_is_healthy_and_nothing_is_left_behind(
    doctor: Doctor, tmp_path: Path
) -> None:
    done = doctor(ACADEMY_MODELS=str(tmp_path / "models"))
    found = by_name(done)
    assert done.returncode == 0, done.stdout
    *names, servers = [each.name for each in CHECKS]
    assert list(found) == [*names, "model server http://127.0.0.1:8100"]
    assert servers == "model servers"
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

    checks = (needed("slow", hang), optional("failing", fail))
    monkeypatch.setattr(checkup, "CHECKS", checks)
    slow, failing = checkup.examine(Settings.from_env({}), timeout_seconds=0.2)
    release.set()
    assert (slow.state, slow.detail) == (State.BROKEN, "no answer within 0.2 s")
    assert failing.detail == "OSError: no such thing"
    assert (slow.necessary, failing.necessary) == (True, False)


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
    monkeypatch.setattr(checkup, "CHECKS", (needed("settings", lambda settings: look),))
    assert not checkup.print_report(Settings.from_env({}), as_json=False)
    _, row, said = capsys.readouterr().out.splitlines()
    assert row.split() == f"settings broken {sentence} Correct it.".split()
    assert said == "Something that Academy needs is not in order: settings."


def test_what_is_switched_off_is_said(doctor: Doctor) -> None:
    found = by_name(doctor(ENABLE_ACADEMY="false", ENABLE_GPU="false"))
    assert found["settings"]["detail"].startswith("Academy is switched off")
    assert "ACADEMY_ENABLE_GPU is false" in found["GPU and driver"]["detail"]


def test_each_model_server_has_a_row_with_its_kind_and_state(
    doctor: Doctor, free_port: int
) -> None:
    here, there = f"http://127.0.0.1:{free_port}", "http://127.0.0.1:9"
    done = doctor(ACADEMY_RUNTIME_URL=f"{here},vllm+{there}")
    found = by_name(done)
    assert done.returncode == 0, "a model server is optional"
    first, second = (found[f"model server {url}"] for url in (here, there))
    assert first["detail"].startswith("embedded, unreachable")
    assert second["detail"].startswith("vllm, unreachable")
    assert first["state"] == second["state"] == "missing"
    assert "ACADEMY_RUNTIME_URL" in first["todo"]


def test_an_address_that_no_process_starts_with_makes_it_fail(doctor: Doctor) -> None:
    done = doctor(ACADEMY_RUNTIME_URL="nonsense")
    assert done.returncode == 1
    assert "'nonsense'" in by_name(done)["model servers"]["detail"]


def test_optional_things_are_called_so_and_the_verdict_is_good(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Finding("GPU", State.BROKEN, "no answer", "Restart it.")
    disk = Finding("disk", State.OK, "5 GiB", necessary=True)
    checks = (optional("GPU", lambda settings: gpu), needed("disk", lambda settings: disk))
    monkeypatch.setattr(checkup, "CHECKS", checks)
    assert checkup.print_report(Settings.from_env({}), as_json=False)
    _, first, second, verdict, rest = capsys.readouterr().out.splitlines()
    assert "broken (optional)" in first and "optional" not in second
    assert verdict == "Everything that Academy needs is in order."
    assert rest == "Optional, and not in order: GPU."


@pytest.mark.parametrize("width", [40, 80])
def test_on_a_terminal_each_check_is_a_block_that_fits(width: int) -> None:
    path = "/srv/" + "a" * 90
    found = Finding("disk", State.BROKEN, f"no\nroom in {path}", "word " * 30, necessary=True)
    lines = [re.sub(r"\x1b\[\d+m", "", each) for each in checkup.report([found], width)]
    assert lines[0] == "disk: broken" and f"    {path}" in lines
    assert " ".join(lines).split()[2:5] == ["no", "room", "in"]
    assert max(len(line) for line in lines[:-1] if path not in line) <= width
