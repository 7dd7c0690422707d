"""The GPUs of this host and the processes on them, as ``nvidia-smi`` tells them.

``nvidia-smi`` shows every GPU whatever CUDA_VISIBLE_DEVICES says, so its answers need no care for
which process asks. Its columns and exit statuses are in its manual page, nvidia-smi(1).
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from academy.errors import AcademyError

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0
_GPU_FIELDS = ("uuid", "name", "driver_version", "memory.total", "memory.used", "utilization.gpu")
_PROCESS_FIELDS = ("gpu_uuid", "pid", "used_memory", "process_name")
#: Exit statuses that mean a host without GPUs: no device found, no driver loaded, no NVML library.
_NO_GPU = {6, 9, 12}


class GpusUnknown(AcademyError):
    """The GPU driver does not answer: {detail}."""

    code = "gpus_unknown"
    next_step = "Run nvidia-smi on that host, or set CUDA_VISIBLE_DEVICES to nothing to do without."


class GpuMissing(AcademyError):
    """CUDA_VISIBLE_DEVICES names the GPU {name!r}, but the driver shows {shown}."""

    code = "gpu_missing"
    next_step = "Name GPUs that nvidia-smi lists, or unset the variable to use all of them."


@dataclass(frozen=True)
class Gpu:
    """A device: memory in bytes, utilisation as a share from 0 to 1 (None where not told)."""

    uuid: str
    name: str
    driver: str
    memory_bytes: int
    memory_used_bytes: int
    utilization: float | None

    def as_dict(self) -> dict[str, Any]:
        """The device as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class GpuProcess:
    """A process that computes on a device; its memory in bytes, None where not told."""

    uuid: str
    pid: int
    name: str
    memory_bytes: int | None


def read_gpus() -> list[Gpu]:
    """Every GPU that the driver shows; none on a host without one. Raises `GpusUnknown`."""
    return parse_gpus(_ask("--query-gpu", _GPU_FIELDS))


def read_processes() -> list[GpuProcess]:
    """Every process that computes on a GPU of this host. Raises `GpusUnknown`."""
    return parse_processes(_ask("--query-compute-apps", _PROCESS_FIELDS))


def own_gpus(environ: Mapping[str, str] | None = None) -> list[str]:
    """The GPUs that CUDA_VISIBLE_DEVICES leaves to this process, else all, by UUID.

    An index counts as nvidia-smi does; CUDA counts alike only with CUDA_DEVICE_ORDER=PCI_BUS_ID,
    which is why everything that we start gets UUIDs. Raises `GpuMissing` and `GpusUnknown`.
    """
    named = (os.environ if environ is None else environ).get("CUDA_VISIBLE_DEVICES")
    if named is not None and not named.strip():
        return []
    shown = [gpu.uuid for gpu in read_gpus()]
    if named is None:
        return shown
    found: list[str] = []
    for name in (each.strip() for each in named.split(",")):
        if name == "-1":
            break  # CUDA ignores what comes after it
        found.append(_uuid_of(name, shown))
    return found


def _uuid_of(name: str, shown: Sequence[str]) -> str:
    if name.startswith("MIG-"):
        return name  # a part of a GPU; the listing shows whole ones only
    if name.isdecimal():
        fitting = list(shown[int(name) : int(name) + 1])
    else:
        fitting = [uuid for uuid in shown if name and uuid.startswith(name)]
    if len(fitting) != 1:
        raise GpuMissing(name=name, shown=", ".join(shown) or "none")
    return fitting[0]


def _ask(query: str, fields: Sequence[str]) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        answer = subprocess.run(
            [program, f"{query}={','.join(fields)}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise GpusUnknown(detail=str(error)) from error
    # A device that fell off the bus makes the status bad although the others are listed.
    if answer.returncode == 0 or answer.stdout.startswith("GPU-"):
        return answer.stdout
    if answer.returncode in _NO_GPU:
        return ""
    said = (answer.stderr.strip() or answer.stdout.strip())[:500]
    raise GpusUnknown(detail=f"nvidia-smi ended with status {answer.returncode}: {said}")


def parse_gpus(text: str) -> list[Gpu]:
    """The devices in nvidia-smi's CSV; a line that does not fit is passed over with a warning."""
    found = []
    for line in _lines(text):
        try:
            uuid, name, driver, total, used, load = (each.strip() for each in line.split(","))
            found.append(
                Gpu(
                    uuid=uuid,
                    name=name,
                    driver=driver,
                    memory_bytes=int(total) << 20,
                    memory_used_bytes=int(used) << 20,
                    utilization=int(load) / 100 if load.isdecimal() else None,
                )
            )
        except ValueError:
            log.warning("nvidia-smi's line cannot be read: %s", line)
    return found


def parse_processes(text: str) -> list[GpuProcess]:
    """The processes in nvidia-smi's CSV; a name may hold commas, so it comes last."""
    found = []
    for line in _lines(text):
        try:
            uuid, pid, used, name = (each.strip() for each in line.split(",", 3))
            memory = int(used) << 20 if used.isdecimal() else None
            found.append(GpuProcess(uuid, int(pid), name, memory))
        except ValueError:
            log.warning("nvidia-smi's line cannot be read: %s", line)
    return found


def _lines(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line.startswith("GPU-")]
