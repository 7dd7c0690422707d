"""What this machine can do for a training."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import torch

from academy.recipes.recipe import Hardware


def detect() -> Hardware:
    """The device that a training gets when it does not name one."""
    if torch.cuda.is_available():
        has_bitsandbytes = importlib.util.find_spec("bitsandbytes") is not None
        return Hardware(
            "cuda",
            bf16=torch.cuda.is_bf16_supported(),
            four_bit=has_bitsandbytes,
            unsloth=importlib.util.find_spec("unsloth") is not None,
            gpus=torch.cuda.device_count(),
        )
    return Hardware("cpu", bf16=_cpu_multiplies_bf16())


def cpu_threads() -> int:
    """Threads to compute with: the CPUs this process may use, within its container's quota.

    ``OMP_NUM_THREADS`` wins, as it is what an operator sets to share a machine.
    """
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cpus  # no control group of version 2, so no quota that could be read
    return cpus if quota == "max" else max(1, min(cpus, round(int(quota) / int(period))))


def memory_bytes(device: str) -> int:
    """The most memory this training has held so far: on the GPU, or as a process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0  # not Linux
    peak = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(peak.group(1)) * 1024 if peak else 0


def _cpu_multiplies_bf16() -> bool:
    """Whether the CPU has bfloat16 matrix instructions (AVX512-BF16 or AMX-BF16)."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return re.search(r"\b(avx512_bf16|amx_bf16)\b", flags) is not None
