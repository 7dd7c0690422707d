"""The GPUs of the API's own machine, as ``/status`` shows them. Workers report their own."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from academy.host.gpus import Gpu, GpusUnknown, read_gpus

log = logging.getLogger(__name__)

#: `nvidia-smi` takes up to a second of a CPU, so its answer serves everybody for a while.
_CACHE_SECONDS = 10.0

_lock = threading.Lock()
_cached: tuple[float, list[dict[str, Any]]] | None = None


def local_gpus() -> list[dict[str, Any]]:
    """One entry for each device: name, memory in bytes, utilization in percent; [] without any."""
    global _cached
    with _lock:
        if _cached is None or time.monotonic() - _cached[0] > _CACHE_SECONDS:
            _cached = (time.monotonic(), _look())
        return _cached[1]


def shown(index: int, gpu: Gpu) -> dict[str, Any]:
    """A device as JSON; what the driver does not tell is null."""
    share = gpu.utilization
    return {
        "index": index,
        "uuid": gpu.uuid,
        "name": gpu.name,
        "memory_total_bytes": gpu.memory_bytes,
        "memory_used_bytes": gpu.memory_used_bytes,
        "utilization_percent": None if share is None else round(100 * share),
    }


def _look() -> list[dict[str, Any]]:
    try:
        return [shown(index, gpu) for index, gpu in enumerate(read_gpus())]
    except GpusUnknown as error:
        log.warning("%s", error)
        return []
