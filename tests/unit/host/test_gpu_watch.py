"""A GPU that vanished or that a stranger sits on is found out; our own processes are none."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from academy.host.gpu_watch import DeviceLost, GpuWatch, look
from academy.host.gpus import GpusUnknown
from academy.host.processes import spawn
from tests.nvidia_smi import Driver

A, B = "GPU-aa11", "GPU-bb22"
WAIT = "import sys; sys.stdin.read()"


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver(tmp_path / "driver", A, B)
    made.use(monkeypatch)
    return made


@contextlib.contextmanager
def stranger(*words: str) -> Iterator[int]:
    """A process that does not descend from this one; its command line ends with `words`."""
    command = [sys.executable, "-c", WAIT, *words]
    launcher = (
        f"import subprocess; quiet = subprocess.DEVNULL; print(subprocess.Popen({command!r},"
        " stdout=quiet, stderr=quiet).pid)"
    )
    reading, writing = os.pipe()
    with os.fdopen(writing, "w"):  # it ends when this is closed
        done = subprocess.run(
            [sys.executable, "-c", launcher],
            stdin=reading,
            capture_output=True,
            timeout=30,
            check=True,
        )
        os.close(reading)
        yield int(done.stdout)


def test_a_device_that_is_not_shown_is_gone(driver: Driver) -> None:
    assert look([A, B, "MIG-1"], 0).gone == {}
    driver.plug(A)
    assert list(look([A, B, "MIG-1"], 0).gone) == [B]
    driver.fail(255)
    driver.plug()
    with pytest.raises(GpusUnknown):
        look([A], 0)


def test_a_stranger_is_named_and_borne_up_to_a_size(driver: Driver) -> None:
    with stranger() as pid:
        driver.run((A, pid, "300"), (A, pid, "300"))
        assert str(pid) in look([A], 0).used[A]
        assert look([A], 700 << 20).used == {} and A in look([A], 599 << 20).used
        driver.run((A, pid, "[N/A]"))
        assert A in look([A], 700 << 20).used


def test_a_process_that_nobody_can_see_is_a_stranger(driver: Driver) -> None:
    driver.run((B, 2**22 + 1, "1"))  # above the largest process id: of another namespace
    assert list(look([A, B], 0).used) == [B]


def test_our_own_processes_and_our_model_server_are_no_strangers(driver: Driver) -> None:
    with (
        spawn([sys.executable, "-c", WAIT], stdin=subprocess.PIPE) as child,
        stranger("-m", "academy.runtime") as server,
    ):
        driver.run((A, os.getpid(), "300"), (A, child.pid, "300"), (A, server, "300"))
        assert look([A], 0).used == {}
        child.kill()


def test_a_running_job_learns_that_its_device_vanished(driver: Driver) -> None:
    with GpuWatch([A, B], 0.05) as watch:
        assert watch.environment == {"CUDA_VISIBLE_DEVICES": f"{A},{B}"}
        watch.check()
        driver.plug(A)
        assert _within(10, lambda: _raises(watch.check)) == B
        assert _raises(watch.look) == B
    with GpuWatch([], 0.05) as nothing:
        assert nothing.environment == {}
        nothing.look()


def test_a_driver_that_does_not_answer_is_no_lost_device(driver: Driver) -> None:
    with GpuWatch([A], 0.05) as watch:
        driver.plug()
        driver.fail(255)
        watch.look()
        watch.check()


def _raises(check: Callable[[], None]) -> str | None:
    try:
        check()
    except DeviceLost as error:
        return str(error.fields["devices"])
    return None


def _within(seconds: float, find: Callable[[], str | None]) -> str | None:
    pause = threading.Event()
    for _ in range(int(seconds / 0.02)):
        found = find()
        if found is not None:
            return found
        pause.wait(0.02)
    return None
