"""What `academy doctor` finds of Docker; necessary only where trainings start in containers."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable

from academy.cli.doctor.findings import Check, Finding, State
from academy.errors import AcademyError
from academy.settings import Settings


def check_docker(settings: Settings) -> Finding:
    from academy.training.launchers import docker_engine

    with docker_engine.connected(settings) as client:
        version = client.version()["Version"]
    return Finding("Docker engine", State.OK, f"version {version} at {docker_engine.engine_url()}")


def check_docker_gpu(settings: Settings) -> Finding:
    from academy.training.launchers import docker_engine
    from academy.training.launchers.errors import NvidiaRuntimeMissing

    with docker_engine.connected(settings) as client:
        if not docker_engine.has_nvidia_runtime(client):
            raise NvidiaRuntimeMissing
    return Finding("Docker NVIDIA runtime", State.OK, "containers can be given GPUs")


def check_docker_image(settings: Settings) -> Finding:
    from academy.training.launchers import docker_engine

    with docker_engine.connected(settings) as client:
        found = docker_engine.image_id(client, settings.docker.image)
    return Finding("training image", State.OK, f"{settings.docker.image} ({found[:19]})")


def trains_in_containers(settings: Settings) -> bool:
    """Whether a training that names no launcher starts in a container."""
    return settings.training.launcher == "docker"


def _for_docker(name: str, check: Callable[[Settings], Finding]) -> Check:
    """A check whose error is its finding."""

    def look(settings: Settings) -> tuple[Finding, ...]:
        by_default = trains_in_containers(settings)
        try:
            return (dataclasses.replace(check(settings), necessary=by_default),)
        except AcademyError as error:
            todo = error.next_step
            if not by_default:
                todo = f"Only the launcher 'docker' needs it. {todo}"
            # A CPU machine trains in containers, too: without the runtime it lacks nothing.
            needed = by_default and (
                error.code != "nvidia_runtime_missing" or shutil.which("nvidia-smi") is not None
            )
            state = State.BROKEN if error.code == "docker_forbidden" else State.MISSING
            return (Finding(name, state, str(error), todo, necessary=needed),)

    return Check(name, look, trains_in_containers)


CHECKS = (
    _for_docker("Docker engine", check_docker),
    _for_docker("Docker NVIDIA runtime", check_docker_gpu),
    _for_docker("training image", check_docker_image),
)
