"""Which processes `academy up` runs, and the environment that each of them gets."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from academy.basemodels.folders import ModelFolder
from academy.embedded.children import Program
from academy.errors import AcademyError
from academy.host.gpus import own_gpus
from academy.queues import CURATION, GPU
from academy.settings import Settings, places

#: A worker that is told to stop lets its trainer write a checkpoint first.
_WORKER_GRACE_SECONDS = 45.0
_API_GRACE_SECONDS = 20.0
_RUNTIME_DRAIN_SECONDS = 10.0


class TooManySlots(AcademyError):
    """{slots} slots were asked for, but there are {gpus} GPUs, and a job has its GPU for itself."""

    code = "too_many_slots"
    next_step = "Ask for as many slots as there are GPUs, or leave the number out."


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs one of our modules.

    ``-P`` keeps the working directory off the import path: a user's own ``workers`` folder there
    must not be run in the place of ours.
    """
    return (sys.executable, "-P", "-m", name, *arguments)


def environment(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment with exactly these settings in it, for a child process."""
    inherited = dict(os.environ if environ is None else environ)
    for place in places():
        # A setting put back to its default has to hide the variable that changed it.
        for name in place.rule.names:
            inherited.pop(name, None)
    return {**inherited, **settings.environ(), "PYTHONUNBUFFERED": "1"}


def app_programs(settings: Settings, *, gpu_slots: int | None) -> list[Program]:
    """API, keeper and the workers, in the order in which they are started."""
    address = local_address(settings.api.host, settings.api.port)
    api = _program(
        settings, "api", "academy.api", grace=_API_GRACE_SECONDS, health=f"{address}/readyz"
    )
    beat = log_folder(settings) / "keeper.beat"
    keeper = _program(settings, "keeper", "workers.keeper", str(beat))
    return [
        dataclasses.replace(api, alive=f"{address}/healthz"),
        dataclasses.replace(keeper, beat=beat),
        *worker_programs(settings, CURATION, 1),
        *worker_programs(settings, GPU, gpu_slots),
    ]


def worker_programs(settings: Settings, queue: str, slots: int | None = None) -> list[Program]:
    """The workers of one queue: a process takes one job at a time.

    The queue ``gpu`` has one for each GPU, which is named to it by UUID, or one on a machine
    without. With fewer `slots` the GPUs are dealt out among them. Raises `TooManySlots`,
    `GpuMissing` and `GpusUnknown`.
    """
    devices = own_gpus() if queue == GPU and settings.host.enable_gpu else []
    slots = slots or max(1, len(devices))
    if devices and slots > len(devices):
        raise TooManySlots(slots=slots, gpus=len(devices))
    programs = []
    for index in range(slots):
        name = f"worker-{queue}" if slots == 1 else f"worker-{queue}-{index + 1}"
        program = _program(settings, name, "workers", queue, grace=_WORKER_GRACE_SECONDS)
        env = dict(program.env)
        if devices:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(devices[index::slots])
        # A worker that stands still loses its job with its lease, and not before.
        patience = max(settings.host.hang_seconds, settings.jobs.lease_seconds)
        programs.append(
            dataclasses.replace(program, env=env, may_end=True, patience_seconds=patience)
        )
    return programs


def runtime_program(settings: Settings, model: ModelFolder, port: int) -> Program:
    """The embedded model server on loopback."""
    program = _program(
        settings,
        "runtime",
        "academy.runtime",
        *runtime_arguments(settings, model, "127.0.0.1", port),
        *("--drain-seconds", f"{_RUNTIME_DRAIN_SECONDS:g}"),
        grace=_RUNTIME_DRAIN_SECONDS + 5,
        health=f"127.0.0.1:{port}/health",
    )
    return dataclasses.replace(program, alive=program.health)


def runtime_arguments(
    settings: Settings, model: ModelFolder, host: str, port: int
) -> tuple[str, ...]:
    """What the model server is told. It loads adapters from our own folders only.

    It asks for no key, so whoever reaches it could otherwise make it read any folder.
    """
    return (
        *("--model", str(model.path), "--name", model.name),
        *("--host", host, "--port", str(port)),
        *(word for root in settings.own_folders for word in ("--adapter-root", str(root))),
        *("--log-level", settings.log_level),
    )


def _program(
    settings: Settings, name: str, *command: str, grace: float = 10.0, health: str = ""
) -> Program:
    return Program(
        name=name,
        command=module(*command),
        env=environment(settings),
        log=log_folder(settings) / f"{name}.log",
        grace_seconds=grace,
        health=health,
        patience_seconds=settings.host.hang_seconds,
        essential=name == "api",
    )


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
