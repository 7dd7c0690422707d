"""How a training's process is launched: what a client may ask for, and what this host grants."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from academy.errors import AcademyError
from academy.settings import Settings

Launcher = Literal["native", "docker"]


class LaunchRefused(AcademyError):
    """The training may not be launched like this: {detail}."""

    code = "bad_spec"
    status = 422
    next_step = "Change or leave out the named field, or ask an admin to change the setting."


class LimitsWanted(BaseModel):
    """Limits of one training; each at most what the settings allow."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    memory_bytes: int | None = Field(
        default=None,
        ge=64 << 20,
        description="Memory of the trainer; past it the training fails with out_of_memory. An "
        "interpreter with PyTorch alone takes more than 64 MiB.",
    )
    cpu_seconds: float | None = Field(
        default=None, gt=0, description="CPU time of all its processes together."
    )
    wall_seconds: float | None = Field(
        default=None, gt=0, description="Wall-clock time of one attempt."
    )
    cpus: float | None = Field(
        default=None, ge=0.1, le=1024, description="CPUs at a time; needs the launcher 'docker'."
    )


class Launch(BaseModel):
    """What a training asks of its launcher; left out, the settings decide."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    launcher: Launcher | None = Field(
        default=None,
        description="'native': a process on the worker's host; 'docker': a container. Left out: "
        "ACADEMY_LAUNCHER.",
    )
    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=300,
        pattern=r"^[\w][\w.\-/:@]*$",
        description="Container image to train in; left out: ACADEMY_DOCKER_IMAGE. It has to be on "
        "the worker's host already: nothing is pulled.",
    )
    network: bool = Field(
        default=False, description="Give the container a network; needs ACADEMY_DOCKER_NETWORK."
    )
    limits: LimitsWanted = Field(default=LimitsWanted(), description="Limits of this training.")


@dataclass(frozen=True)
class Limits:
    """What one trainer may use. None: without a limit."""

    memory_bytes: int | None
    cpu_seconds: float | None
    wall_seconds: float
    cpus: float | None


@dataclass(frozen=True)
class Granted:
    """A launch with every default filled in."""

    launcher: Launcher
    image: str
    network: bool
    limits: Limits


def grant(launch: Launch, settings: Settings) -> Granted:
    """What the settings make of `launch`. Raises `LaunchRefused`, which names the field."""
    launcher: Launcher = launch.launcher or default_launcher(settings)
    wanted = launch.limits
    if launcher == "native":
        for name, given in (
            ("image", launch.image is not None),
            ("network", launch.network),
            ("limits.cpus", wanted.cpus is not None),
        ):
            if given:
                raise LaunchRefused(detail=f"{name} is set, but the launcher is 'native'")
    image = launch.image or settings.docker.image
    if image != settings.docker.image and not _is_allowed(image, settings.docker.images):
        raise LaunchRefused(
            detail=f"image is {image!r}, which ACADEMY_DOCKER_IMAGES does not allow"
        )
    if launch.network and not settings.docker.network:
        raise LaunchRefused(detail="network is true, but ACADEMY_DOCKER_NETWORK is empty")
    memory = _within("memory_bytes", wanted.memory_bytes, settings.training.memory_bytes)
    cpu = _within("cpu_seconds", wanted.cpu_seconds, settings.training.cpu_seconds)
    wall = _within("wall_seconds", wanted.wall_seconds, settings.jobs.timeout_seconds)
    return Granted(
        launcher,
        image,
        launch.network,
        Limits(
            memory_bytes=None if memory is None else int(memory),
            cpu_seconds=cpu,
            wall_seconds=settings.jobs.timeout_seconds if wall is None else wall,
            cpus=_within("cpus", wanted.cpus, settings.docker.cpus),
        ),
    )


def default_launcher(settings: Settings) -> Launcher:
    """The launcher of a training that names none."""
    return "docker" if settings.training.launcher == "docker" else "native"


def _within(name: str, wanted: float | None, most: float) -> float | None:
    """The wanted limit, else the most that the settings allow; 0 there is no limit."""
    if wanted is None:
        return most or None
    if most and wanted > most:
        raise LaunchRefused(detail=f"limits.{name} is {wanted:g}, but at most {most:g} is allowed")
    return wanted


def _is_allowed(image: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(image, each) for each in patterns)
