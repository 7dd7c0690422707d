"""What the processes of the stack are told."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from academy.basemodels.folders import ModelFolder
from academy.embedded.programs import (
    TooManySlots,
    app_programs,
    environment,
    local_address,
    runtime_program,
    worker_programs,
)
from academy.settings import Settings
from tests.nvidia_smi import Driver


def settings(tmp_path: Path, **environ: str) -> Settings:
    return Settings.from_env({"ACADEMY_HOME": str(tmp_path), **environ})


def test_a_child_gets_exactly_our_settings(tmp_path: Path) -> None:
    ours = settings(tmp_path, ACADEMY_LEASE_SECONDS="50")
    inherited = {"ACADEMY_PORT": "9000", "ACADEMY_DEMO_REPO": "/x", "PATH": "/bin"}
    env = environment(ours, inherited)
    assert Settings.from_env(env) == ours  # the inherited port is gone, ours is the default
    assert (env["ACADEMY_DEMO_REPO"], env["PATH"]) == ("/x", "/bin")


def test_a_child_does_not_inherit_another_name_of_a_setting(tmp_path: Path) -> None:
    ours = settings(tmp_path).changed(base_model="ours", lora_rank=4)
    inherited = {"DEFAULT_BASE_MODEL": "theirs", "DEFAULT_LORA_RANK": "8", "ENABLE_GPU": "no"}
    assert Settings.from_env(environment(ours, inherited)) == ours


def test_a_slot_is_a_process_of_its_own(tmp_path: Path) -> None:
    assert [each.name for each in worker_programs(settings(tmp_path), "gpu", 1)] == ["worker-gpu"]
    two = worker_programs(settings(tmp_path), "gpu", 2)
    assert [each.name for each in two] == ["worker-gpu-1", "worker-gpu-2"]
    assert {each.log.name for each in two} == {"worker-gpu-1.log", "worker-gpu-2.log"}


def test_gpus_are_dealt_out_to_the_slots_by_uuid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Driver(tmp_path / "driver", "GPU-a", "GPU-b", "GPU-c").use(monkeypatch)

    def dealt(slots: int | None) -> list[str]:
        programs = worker_programs(settings(tmp_path), "gpu", slots)
        return [each.env["CUDA_VISIBLE_DEVICES"] for each in programs]

    assert dealt(None) == ["GPU-a", "GPU-b", "GPU-c"]
    assert dealt(2) == ["GPU-a,GPU-c", "GPU-b"]
    assert dealt(1) == ["GPU-a,GPU-b,GPU-c"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-a")  # what we were left ourselves
    assert dealt(None) == ["GPU-c", "GPU-a"]
    with pytest.raises(TooManySlots, match="3 slots"):
        dealt(3)
    assert len(worker_programs(settings(tmp_path), "curation")) == 1


def test_no_gpu_is_dealt_out_where_they_are_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Driver(tmp_path / "driver", "GPU-a", "GPU-b").use(monkeypatch)
    [program] = worker_programs(settings(tmp_path, ACADEMY_ENABLE_GPU="false"), "gpu")
    assert "CUDA_VISIBLE_DEVICES" not in program.env
    assert program.env["ACADEMY_ENABLE_GPU"] == "false"  # which hides them from itself


def test_every_process_of_the_stack_is_there(tmp_path: Path) -> None:
    programs = app_programs(settings(tmp_path), gpu_slots=1)
    assert [each.name for each in programs] == ["api", "keeper", "worker-curation", "worker-gpu"]
    assert [each.essential for each in programs] == [True, False, False, False]
    assert all(each.command[:2] == (sys.executable, "-P") for each in programs)


def test_the_runtime_loads_adapters_from_our_folders_only(tmp_path: Path) -> None:
    program = runtime_program(settings(tmp_path), ModelFolder("tiny", tmp_path / "tiny"), 9)
    roots = [
        program.command[index + 1]
        for index, word in enumerate(program.command)
        if word == "--adapter-root"
    ]
    assert roots == [str(tmp_path), str(tmp_path / "artifacts")]
    assert program.health == "127.0.0.1:9/health"


@pytest.mark.parametrize(
    ("host", "address"),
    [("0.0.0.0", "127.0.0.1:80"), ("::", "[::1]:80"), ("::1", "[::1]:80"), ("box", "box:80")],
)
def test_a_server_on_every_address_is_reached_by_loopback(host: str, address: str) -> None:
    assert local_address(host, 80) == address
