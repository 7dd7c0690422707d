"""The GPUs of this host, as ``nvidia-smi`` tells them."""

from __future__ import annotations

import logging
import shutil
import subprocess
from dataclasses import asdict, dataclass
from typing import Any

log = logging.getLogger(__name__)

_FIELDS = ("uuid", "name", "driver_version", "memory.total", "memory.used", "utilization.gpu")


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


def read_gpus(timeout_seconds: float = 5.0) -> list[Gpu]:
    """Every GPU that the driver shows; none where there is no driver or it does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        answer = subprocess.run(
            [program, f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("nvidia-smi did not answer: %s", error)
        return []
    return parse(answer.stdout)


def parse(text: str) -> list[Gpu]:
    """The devices in nvidia-smi's CSV; a line that does not fit is passed over with a warning."""
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
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
