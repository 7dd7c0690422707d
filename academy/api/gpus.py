"""The GPUs of the API's own machine, by ``nvidia-smi``. Workers report their own."""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
import time
from typing import Any

logger = logging.getLogger(__name__)

_FIELDS = {
    "index": "index",
    "uuid": "uuid",
    "name": "name",
    "memory.total": "memory_total_bytes",
    "memory.used": "memory_used_bytes",
    "utilization.gpu": "utilization_percent",
    "temperature.gpu": "temperature_celsius",
}
_TIMEOUT_SECONDS = 3.0
#: `nvidia-smi` takes up to a second of a CPU, so its answer serves everybody for a while.
_CACHE_SECONDS = 10.0

_lock = threading.Lock()
_cached: tuple[float, list[dict[str, Any]]] | None = None


def local_gpus() -> list[dict[str, Any]]:
    """One entry for each device: name, memory in bytes, utilization in percent; [] without any."""
    global _cached
    with _lock:
        if _cached is None or time.monotonic() - _cached[0] > _CACHE_SECONDS:
            _cached = (time.monotonic(), _ask())
        return _cached[1]


def parse(text: str) -> list[dict[str, Any]]:
    """`nvidia-smi`'s comma-separated lines, without units, as entries."""
    found = []
    for line in text.splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) != len(_FIELDS):
            continue
        entry: dict[str, Any] = {}
        for name, value in zip(_FIELDS.values(), values, strict=True):
            if name in {"uuid", "name"}:
                entry[name] = value
            elif not value.replace(".", "", 1).isdigit():
                entry[name] = None  # "[N/A]" on devices that do not tell
            elif name.endswith("_bytes"):
                entry[name] = int(float(value)) << 20  # it counts in MiB
            else:
                entry[name] = int(float(value))
        found.append(entry)
    return found


def _ask() -> list[dict[str, Any]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    query = [f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            [program, *query], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True
        )
    except (subprocess.SubprocessError, OSError) as error:
        logger.warning("nvidia-smi does not answer: %s", error)
        return []
    return parse(done.stdout)
