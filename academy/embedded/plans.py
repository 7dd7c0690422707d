"""Which processes `academy up` runs, and the environment that each of them gets."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from academy import basemodels
from academy.embedded.children import Plan
from academy.errors import BaseModelUnavailable
from academy.queues import CURATION, GPU
from academy.settings import Settings

#: A worker that is told to stop lets its trainer write a checkpoint first.
_WORKER_GRACE_SECONDS = 45.0
_API_GRACE_SECONDS = 20.0


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs one of our modules.

    ``-P`` keeps the working directory off the import path: a user's own ``workers`` folder there
    must not be run in the place of ours.
    """
    return (sys.executable, "-P", "-m", name, *arguments)


def environment(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment with exactly these settings in it, for a child process."""
    inherited = dict(os.environ if environ is None else environ)
    for each in dataclasses.fields(Settings):
        # A setting put back to its default has to hide the variable that changed it.
        inherited.pop(f"ACADEMY_{each.name.upper()}", None)
    return {**inherited, **settings.environ(), "PYTHONUNBUFFERED": "1"}


def app_plans(settings: Settings, *, gpu_slots: int | None = None) -> list[Plan]:
    """API, keeper and the two workers, in the order in which they are started."""
    env = environment(settings)
    logs = settings.home / "logs"
    slots = () if gpu_slots is None else ("--slots", str(gpu_slots))

    def plan(name: str, *command: str, grace: float, health: str = "") -> Plan:
        return Plan(
            name=name,
            command=module(*command),
            env=env,
            log=logs / f"{name}.log",
            grace_seconds=grace,
            health=health,
            essential=name == "api",
        )

    return [
        plan(
            "api",
            "academy.api",
            grace=_API_GRACE_SECONDS,
            health=f"{local_address(settings.host, settings.port)}/readyz",
        ),
        plan("keeper", "workers.keeper", grace=10.0),
        plan("worker-curation", "workers", CURATION, grace=_WORKER_GRACE_SECONDS),
        plan("worker-gpu", "workers", GPU, *slots, grace=_WORKER_GRACE_SECONDS),
    ]


def runtime_plan(settings: Settings, port: int) -> Plan:
    """The embedded model server with the base model. Raises `BaseModelUnavailable`."""
    model = basemodels.find(settings.base_model, settings.model_folders)
    address = f"127.0.0.1:{port}"
    return Plan(
        name="runtime",
        command=module(
            "academy.runtime",
            *("--model", str(model.path), "--name", model.name),
            *("--host", "127.0.0.1", "--port", str(port)),
        ),
        env=environment(settings),
        log=settings.home / "logs" / "runtime.log",
        health=f"{address}/health",
    )


def has_base_model(settings: Settings) -> BaseModelUnavailable | None:
    """None if the base model is there, else the error that says where it was looked for."""
    try:
        basemodels.find(settings.base_model, settings.model_folders)
    except BaseModelUnavailable as error:
        return error
    return None


def local_address(host: str, port: int) -> str:
    """``host:port`` as a client on this machine reaches a server that listens on `host`."""
    if host in {"0.0.0.0", ""}:
        host = "127.0.0.1"
    elif host == "::":
        host = "::1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def log_folder(settings: Settings) -> Path:
    """Where every process of the stack writes its log."""
    return settings.home / "logs"
