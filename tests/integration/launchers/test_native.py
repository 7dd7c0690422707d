"""The native launcher keeps its limits, and a failure of theirs has its own code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from academy.lifecycle import FailureCode, Status
from academy.settings import Settings
from academy.store.engine import Sessions
from academy.store.jobs import jobs
from academy.training.launch import Launch, LaunchRefused, grant
from academy.training.request import TrainingRequest
from academy.training.submission import submit_training
from tests.integration.launchers.trainings import Trainings


@pytest.fixture
def natives(settings: Settings, sessions: Sessions, dataset: str, tmp_path: Path) -> Trainings:
    """Trainings by the native launcher; `trainer` in the test's folder is the program."""
    changed = settings.changed(
        base_model="tiny", trainer_command=("python", f"{tmp_path}/trainer.py")
    )
    return Trainings(changed, sessions, dataset)


@pytest.fixture
def trainer(tmp_path: Path) -> Callable[[str], None]:
    def write(program: str) -> None:
        (tmp_path / "trainer.py").write_text(program)

    return write


def test_memory_past_its_limit_is_out_of_memory_and_tried_again(
    natives: Trainings, trainer: Callable[[str], None]
) -> None:
    trainer("held = bytearray(200 << 20)")
    job = natives.submit(limits={"memory_bytes": 150 << 20})
    assert natives.carry_out(job).status == Status.QUEUED
    assert natives.failure(job.id)["code"] == FailureCode.OUT_OF_MEMORY
    assert "limits.memory_bytes" in natives.failure(job.id)["next_step"]


def test_the_trainer_is_told_how_much_memory_it_may_take(
    natives: Trainings, trainer: Callable[[str], None]
) -> None:
    trainer(
        "import json, sys\n"
        "told = json.load(open(sys.argv[1]))['memory_limit_bytes']\n"
        "print('it may take', told, flush=True)\n"
        "raise SystemExit(7)\n"
    )
    job = natives.submit(limits={"memory_bytes": 150 << 20})
    natives.carry_out(job)
    assert f"it may take {150 << 20}" in natives.said(job.id)


def test_address_space_that_is_only_reserved_does_not_count_as_memory(
    natives: Trainings, trainer: Callable[[str], None]
) -> None:
    # As CUDA reserves it: far more than there is, and not writable.
    trainer(
        "import mmap\n"
        "kind = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS\n"
        "held = mmap.mmap(-1, 1 << 40, flags=kind, prot=0)\n"
        "raise SystemExit(7)\n"
    )
    job = natives.submit(limits={"memory_bytes": 150 << 20})
    natives.carry_out(job)
    assert "status 7" in natives.failure(job.id)["message"]


def test_the_cpu_time_of_the_whole_group_counts(
    natives: Trainings, trainer: Callable[[str], None]
) -> None:
    trainer(
        "import subprocess, sys\n"
        "busy = [sys.executable, '-c', 'while True: pass']\n"
        "for each in [subprocess.Popen(busy) for _ in range(2)]: each.wait()\n"
    )
    job = natives.carry_out(natives.submit(limits={"cpu_seconds": 1.0}))
    assert (job.status, job.failure_code) == (Status.FAILED, FailureCode.CPU_TIME_EXCEEDED)
    assert not [each for each in psutil.process_iter() if "while True: pass" in each_line(each)]


def test_wall_time_past_its_limit_is_a_timeout(
    natives: Trainings, trainer: Callable[[str], None]
) -> None:
    trainer("import threading\nthreading.Event().wait(600)")
    job = natives.carry_out(natives.submit(limits={"wall_seconds": 1.0}))
    assert (job.status, job.failure_code) == (Status.FAILED, FailureCode.TIMEOUT)
    assert "1 seconds" in str(job.failure_message)


def test_what_a_trainer_prints_is_shown_harmless_short_and_without_secrets(
    natives: Trainings, trainer: Callable[[str], None]
) -> None:
    token = "ghp_" + "a1B2c3D4e5" * 3 + "f6G7h8"
    trainer(f"""
import sys
print("\\x1b[31mred\\x1b[0m\\x1b[2J with {token}", flush=True)
for percent in range(101):
    sys.stderr.write(f"\\r{{percent:3}}%|")
sys.stderr.write("\\n")
print("x" * 100_000, flush=True)
sys.stderr.write("it failed with {token}\\n")
raise SystemExit(7)
""")
    job = natives.submit()
    ended = natives.carry_out(job)
    said = natives.said(job.id)
    everything = "\n".join([*said, str(natives.failure(job.id)), str(ended.failure_message)])
    assert token not in everything and "\x1b[2J" not in everything
    assert "it failed with <SECRET:github_token>" in natives.failure(job.id)["message"]
    assert "red with <SECRET:github_token>" in said
    assert [each for each in said if each.endswith("%|")][-1] == "100%|"
    assert len([each for each in said if each.endswith("%|")]) < 10
    [long] = [each for each in said if each.startswith("xxx")]
    assert len(long.encode()) <= 16 << 10 and long.endswith(" … (cut)")


def test_a_request_for_more_than_is_allowed_makes_no_job(natives: Trainings) -> None:
    natives.settings = natives.settings.changed(trainer_memory_bytes=1 << 30)
    with pytest.raises(LaunchRefused, match="at most"):
        natives.submit(limits={"memory_bytes": 2 << 30})
    with pytest.raises(LaunchRefused, match="hosts is 2, but the launcher is 'docker'"):
        natives.submit(hosts=2, launcher="docker")
    with natives.sessions() as session:
        assert jobs.page(session, limit=5) == []


def test_the_launcher_of_several_hosts_is_not_left_to_the_default_of_each(
    natives: Trainings,
) -> None:
    request = TrainingRequest(dataset_id=natives.dataset, hosts=2)
    with natives.sessions.begin() as session:
        job = submit_training(session, natives.settings, request, None)
    launch = Launch.model_validate(natives.job(job.id).launch)
    assert grant(launch, natives.settings.changed(launcher="docker")).launcher == "native"


def each_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
