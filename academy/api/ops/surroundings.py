"""What is around the API process: model servers, GPUs of its machine, the stack that started it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from academy.api.ops.gpus import local_gpus
from academy.embedded.runfile import Run, running
from academy.serving.servers import ModelServers
from academy.settings import Settings


@dataclass(frozen=True)
class Surroundings:
    """What one look found; `stack` is None unless `academy up` runs in the API's home."""

    runtimes: list[dict[str, Any]]
    devices: list[dict[str, Any]]
    stack: Run | None


def look_around(settings: Settings, servers: ModelServers) -> Surroundings:
    """Ask every model server how it is, which takes its time-out if it does not answer."""
    runtimes = [
        {"url": server.url, "kind": server.kind, **asdict(health)}
        for server, health in servers.health()
    ]
    return Surroundings(runtimes, local_gpus(), running(settings.home))
