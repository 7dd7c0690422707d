"""What is around the API process, to be looked at in the background (`academy.web.lookout`).

Model servers, GPUs of its machine and the stack that started it are one look, as a model server
that hangs makes it long; workers and keepers, which PostgreSQL knows, are another.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from academy.api.ops.gpus import local_gpus
from academy.api.ops.keepers import keeper_body
from academy.api.ops.workers import live_workers
from academy.embedded.runfile import Run, running
from academy.serving.servers import ModelServers
from academy.settings import Settings
from academy.store.engine import Sessions, autocommit
from academy.store.jobs import keepers


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


@dataclass(frozen=True)
class Crew:
    """Who works, as ``/status`` shows them."""

    workers: list[dict[str, Any]]
    keepers: list[dict[str, Any]]


def muster(settings: Settings, sessions: Sessions) -> Crew:
    """Read who was heard of lately. Raises `StoreError`."""
    with autocommit(sessions) as session:
        return Crew(
            live_workers(session, settings),
            [keeper_body(*each) for each in keepers.every(session)],
        )
