"""What nvidia-smi says is understood, and what it does not say is not guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from academy.host.gpus import GpuMissing, GpusUnknown, own_gpus, read_gpus, read_processes
from tests.nvidia_smi import Driver


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver(tmp_path / "driver", "GPU-aa11", "GPU-bb22")
    made.use(monkeypatch)
    return made


def test_devices_and_processes_are_read_with_their_units(driver: Driver) -> None:
    driver.run(("GPU-bb22", 4711, "1024"), ("GPU-bb22", 4712, "[N/A]"))
    first, second = read_gpus()
    assert (first.uuid, first.name, first.driver) == ("GPU-aa11", "NVIDIA H200", "570.86.15")
    assert (second.memory_bytes, second.memory_used_bytes) == (143771 << 20, 512 << 20)
    assert second.utilization == 0.07
    one, other = read_processes()
    assert (one.uuid, one.pid, one.memory_bytes) == ("GPU-bb22", 4711, 1 << 30)
    assert (other.name, other.memory_bytes) == ("/opt/a, b/python3", None)


def test_a_host_without_a_driver_has_no_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: Driver
) -> None:
    for status in (6, 9, 12):  # no device, no driver, no library
        driver.plug()
        driver.fail(status)
        assert read_gpus() == []
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read_gpus() == [] and read_processes() == [] and own_gpus() == []


def test_a_driver_that_fails_is_no_host_without_gpus(driver: Driver) -> None:
    """Else a broken driver would have a GPU host train on its CPU for days."""
    driver.plug()
    driver.fail(15)
    with pytest.raises(GpusUnknown, match="status 15"):
        read_gpus()


def test_the_others_are_listed_when_one_fell_off_the_bus(driver: Driver) -> None:
    driver.plug("GPU-bb22")
    driver.fail(15)
    assert [gpu.uuid for gpu in read_gpus()] == ["GPU-bb22"]


@pytest.mark.parametrize(
    ("named", "found"),
    [
        (None, ["GPU-aa11", "GPU-bb22"]),
        ("", []),
        ("1", ["GPU-bb22"]),
        ("1,0", ["GPU-bb22", "GPU-aa11"]),
        ("GPU-bb22", ["GPU-bb22"]),
        ("GPU-aa", ["GPU-aa11"]),
        ("0,-1,1", ["GPU-aa11"]),
        ("MIG-5c89", ["MIG-5c89"]),
    ],
)
def test_the_visible_gpus_are_named_by_uuid(
    driver: Driver, named: str | None, found: list[str]
) -> None:
    assert own_gpus({} if named is None else {"CUDA_VISIBLE_DEVICES": named}) == found


@pytest.mark.parametrize("named", ["2", "GPU-cc33", "GPU-", "0,,1", "first"])
def test_a_gpu_that_is_not_there_is_named(driver: Driver, named: str) -> None:
    with pytest.raises(GpuMissing, match="GPU-aa11, GPU-bb22"):
        own_gpus({"CUDA_VISIBLE_DEVICES": named})
