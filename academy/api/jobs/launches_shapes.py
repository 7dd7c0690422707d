"""How a job's process is launched, as the settings grant it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pydantic import Field

from academy.lifecycle import JobKind
from academy.settings import Settings
from academy.store.jobs.tables import Job
from academy.training.launch import Launch, Launcher, LaunchRefused, default_launcher, grant
from academy.web.shapes import Shown


class LimitsShown(Shown):
    """What one trainer may use. null: no limit."""

    memory_bytes: int | None
    cpu_seconds: float | None
    wall_seconds: float | None
    cpus: float | None


class LaunchShown(Shown):
    """How a training is launched: what was asked for, with the settings' defaults filled in.

    A worker whose own settings differ grants by those; the job's log tells of a launcher that took
    another's place.
    """

    launcher: Launcher
    image: str | None = Field(description="of the container; null for the launcher 'native'")
    network: bool
    limits: LimitsShown
    refused: str | None = Field(
        description="why the settings of now do not allow it; the rest is then what was asked for"
    )


def launch_body(job: Job, settings: Settings) -> dict[str, Any] | None:
    """The fields of `LaunchShown`; None for jobs that start no trainer."""
    if job.kind != JobKind.TRAINING:
        return None
    asked = Launch.model_validate(job.launch or {})
    try:
        granted = grant(asked, settings)
    except LaunchRefused as error:
        return {
            "launcher": asked.launcher or default_launcher(settings),
            "image": asked.image,
            "network": asked.network,
            "limits": asked.limits.model_dump(),
            "refused": str(error),
        }
    return {
        "launcher": granted.launcher,
        "image": granted.image if granted.launcher == "docker" else None,
        "network": granted.network,
        "limits": asdict(granted.limits),
        "refused": None,
    }
