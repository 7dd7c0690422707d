"""What `academy doctor` looks at on the machine itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import metadata

from academy.cli.doctor.findings import Finding, State
from academy.host.disks import FULL_BYTES, free_bytes, nearest_folder
from academy.settings import Settings

_GIB = 1 << 30
_DISK_BYTES = 5 * _GIB
_MEMORY_BYTES = 3 * _GIB


def check_python(settings: Settings) -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", State.OK, f"{version} at {sys.executable}", necessary=True)


def check_disk(settings: Settings) -> Finding:
    place = min(settings.own_folders, key=free_bytes)
    free = free_bytes(place)
    detail = f"{free / _GIB:.1f} GiB free in {nearest_folder(place)}"
    if free >= _DISK_BYTES:
        return Finding("disk", State.OK, detail, necessary=True)
    if free < FULL_BYTES:
        detail = f"full: {detail}"
    todo = f"Free at least {_DISK_BYTES // _GIB} GiB, or set ACADEMY_HOME to a larger disk."
    return Finding("disk", State.BROKEN, detail, todo, necessary=True)


def check_memory(settings: Settings) -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    detail = f"{memory.available / _GIB:.1f} of {memory.total / _GIB:.1f} GiB available"
    if memory.available >= _MEMORY_BYTES:
        return Finding("memory", State.OK, detail, necessary=True)
    todo = f"Stop other programs: training the smallest model takes {_MEMORY_BYTES // _GIB} GiB."
    return Finding("memory", State.BROKEN, detail, todo, necessary=True)


def check_gpu(settings: Settings) -> Finding:
    if not settings.host.enable_gpu:
        return Finding(
            "GPU and driver", State.OK, "ACADEMY_ENABLE_GPU is false; training uses CPUs"
        )
    program = shutil.which("nvidia-smi")
    if program is None:
        todo = "Nothing to do on a CPU machine; on a GPU host install the NVIDIA driver."
        return Finding("GPU and driver", State.MISSING, "no nvidia-smi; training uses CPUs", todo)
    query = "--query-gpu=name,memory.total,driver_version"
    answer = subprocess.run(
        [program, query, "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    if answer.returncode != 0:
        said = (answer.stderr or answer.stdout).strip().splitlines()
        todo = "Install a driver that fits the running kernel, or restart after its update."
        return Finding("GPU and driver", State.BROKEN, said[-1] if said else "no answer", todo)
    return Finding("GPU and driver", State.OK, "; ".join(answer.stdout.strip().splitlines()))


def check_bitsandbytes(settings: Settings) -> Finding:
    return _package("bitsandbytes", "no model is trained in 4 bits (QLoRA)")


def check_unsloth(settings: Settings) -> Finding:
    return _package("Unsloth", "trainings use PEFT alone")


def _package(name: str, without: str) -> Finding:
    """A package that only trainings on a CUDA GPU use, and what is true without it."""
    try:
        version = metadata.version(name.lower())
    except metadata.PackageNotFoundError:
        todo = "Only a CUDA GPU can use it: `pip install -r requirements-gpu.txt`."
        return Finding(name, State.MISSING, f"not installed; {without}", todo)
    return Finding(name, State.OK, f"version {version}")
