"""What runs in a container sees what it needs to train and nothing else of the host."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import docker
from academy.lifecycle import FailureCode, Status
from academy.training.launch import LaunchRefused
from tests.integration.launchers.trainings import Trainings

PROBE = """
import json, os, socket, sys
from pathlib import Path

def attempt(path):
    try:
        Path(path).write_text("x")
    except OSError as error:
        return error.strerror
    return "written"

def limit(*names):
    for name in names:
        if Path("/sys/fs/cgroup", name).exists():
            return Path("/sys/fs/cgroup", name).read_text().split()

status = dict(line.split(":", 1) for line in open("/proc/self/status"))
spec = json.loads(Path(sys.argv[1]).read_text())
facts = {
    "user": [os.getuid(), os.getgid()],
    "capabilities": {name: status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd")},
    "no_new_privileges": status["NoNewPrivs"].strip(),
    "networks": sorted(name for _, name in socket.if_nameindex()),
    "environment": sorted(os.environ),
    "gpus": os.environ.get("NVIDIA_VISIBLE_DEVICES"),
    "root": attempt("/file"),
    "dataset": attempt(spec["dataset"]["path"] + "/train.jsonl"),
    "base_model": attempt(spec["base_model"]["path"] + "/config.json"),
    "spec": attempt(sys.argv[1]),
    "tmp": attempt("/tmp/file"),
    "out": attempt(sys.argv[3] + "/file"),
    "folders": [spec["dataset"]["path"], spec["base_model"]["path"], sys.argv[3]],
    "memory": limit("memory/memory.limit_in_bytes", "memory.max"),
    "processes": limit("pids/pids.max", "pids.max"),
    "cpu": limit("cpu/cpu.cfs_quota_us", "cpu.max"),
    "shared_memory": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize,
}
print(json.dumps({"type": "log", "level": "info", "message": json.dumps(facts)}), flush=True)
"""


def run(
    trainings: Trainings,
    folder: Path,
    program: str,
    devices: Sequence[str] = (),
    **changed: Any,
) -> tuple[str, list[str]]:
    """Let a program of the test's train; the failure code of the attempt, and what it said."""
    (folder / "probe.py").write_text(program)
    trainings.settings = trainings.settings.changed(
        docker_command=("python3", "/probe/probe.py"),
        docker_mounts=(f"{folder}:/probe",),
        **changed,
    )
    job = trainings.submit(network=bool(changed.get("docker_network")))
    trainings.carry_out(job, devices=devices)
    return trainings.failure(job.id)["code"], trainings.said(job.id)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "probe"
    made.mkdir(mode=0o755)
    return made


def test_a_container_has_no_rights_no_network_and_nothing_to_write_but_its_own(
    trainings: Trainings, folder: Path
) -> None:
    _, said = run(trainings, folder, PROBE, docker_pids=77, docker_shm_bytes=8 << 20)
    facts = json.loads(next(each for each in said if each.startswith("{")))
    assert facts["user"] == [10001, 10001]
    assert set(facts["capabilities"].values()) == {"0" * 16}
    assert facts["no_new_privileges"] == "1"
    assert facts["networks"] == ["lo"]
    assert not [each for each in facts["environment"] if each.startswith("ACADEMY_")]
    for place in ("root", "dataset", "base_model", "spec"):
        assert facts[place] == "Read-only file system", place
    assert (facts["tmp"], facts["out"]) == ("written", "written")
    assert facts["folders"] == ["/academy/dataset", "/academy/base-model", "/academy/out"]
    assert facts["memory"] == [str(2 << 30)] and facts["processes"] == ["77"]
    assert facts["cpu"][0] == "100000"  # one CPU, in microseconds of each tenth of a second
    assert facts["shared_memory"] == 8 << 20


def test_a_container_gets_the_gpus_that_the_claim_reserved_by_uuid(
    trainings: Trainings, folder: Path, gpu_engine: docker.APIClient
) -> None:
    _, said = run(trainings, folder, PROBE, devices=["MIG-1", "MIG-2"])
    facts = json.loads(next(each for each in said if each.startswith("{")))
    assert facts["gpus"] == "MIG-1,MIG-2"
    assert "CUDA_VISIBLE_DEVICES" not in facts["environment"]
    assert gpu_engine.containers(all=True) == []


def test_a_network_is_there_only_where_both_the_request_and_the_policy_say_so(
    trainings: Trainings, folder: Path
) -> None:
    with pytest.raises(LaunchRefused, match="ACADEMY_DOCKER_NETWORK"):
        trainings.submit(network=True)
    _, said = run(trainings, folder, PROBE, docker_network="host")
    facts = json.loads(next(each for each in said if each.startswith("{")))
    assert len(facts["networks"]) > 1


@pytest.mark.parametrize(
    ("left", "named"),
    [
        ("os.makedirs(out)", "/etc"),
        ("os.makedirs(out); os.symlink('/etc', out + '/adapter')", "/academy/out/adapter"),
        ("os.makedirs(out + '/a'); os.mkfifo(out + '/a/pipe')", "/academy/out/a"),
        ("os.makedirs(out)", "/academy/out/../../etc"),
    ],
)
def test_folders_that_are_not_the_containers_own_are_never_published(
    trainings: Trainings, folder: Path, left: str, named: str
) -> None:
    result = {"type": "result", "adapter_path": named, "digest": "sha256:0", "summary": {}}
    program = f"""
import os
out = "/academy/out"
{left.replace("makedirs(out)", "makedirs(out, exist_ok=True)")}
print({json.dumps(json.dumps(result))}, flush=True)
"""
    code, said = run(trainings, folder, program)
    assert code == FailureCode.CONTAINER_REFUSED, said


def test_weights_that_the_containers_user_may_not_read_are_named_before_the_start(
    trainings: Trainings,
) -> None:
    weights = trainings.settings.home / "models" / "tiny" / "model.safetensors"
    weights.chmod(0o600)
    job = trainings.carry_out(trainings.submit())
    assert (job.status, job.failure_code) == (Status.FAILED, FailureCode.CONTAINER_REFUSED)
    assert str(weights) in str(job.failure_message)
    assert "ACADEMY_DOCKER_USER" in str(job.failure_next_step)


def test_a_mount_that_is_not_there_is_named(trainings: Trainings) -> None:
    trainings.settings = trainings.settings.changed(docker_mounts=("/no/such/folder:/opt/x",))
    job = trainings.carry_out(trainings.submit())
    assert (job.status, job.failure_code) == (Status.FAILED, FailureCode.CONTAINER_REFUSED)
    assert "/no/such/folder" in str(job.failure_message)


def test_torn_and_endless_lines_are_cut_and_binary_noise_is_no_message(
    trainings: Trainings, folder: Path
) -> None:
    program = """
import sys
sys.stdout.buffer.write(b'{"type": "log", "level": "info", ')
sys.stdout.flush()
sys.stdout.buffer.write(b'"message": "whole"}\\n' + b"\\xff\\xfe\\n" + b"x" * (3 << 20) + b"\\n")
sys.stdout.buffer.write(b"without an end")
sys.stdout.flush()
sys.stderr.write("noise\\n")
"""
    _, said = run(trainings, folder, program)
    assert {"whole", "noise", "without an end"} <= set(said)
    assert max(map(len, said)) <= 1 << 20
