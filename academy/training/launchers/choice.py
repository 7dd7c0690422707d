"""Choosing a launcher for an attempt, and what takes its place where policy allows that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from academy.attempt import Attempt
from academy.errors import AcademyError
from academy.training.launch import Granted
from academy.training.launchers.errors import (
    DockerForbidden,
    DockerUnavailable,
    ImageMissing,
    NvidiaRuntimeMissing,
)
from academy.training.launchers.native import NativeTrainer
from academy.training.launchers.order import Trainer, TrainerOrder


def start_trainer(
    attempt: Attempt,
    granted: Granted,
    spec: Mapping[str, Any],
    folder: Path,
    environment: Mapping[str, str],
) -> Trainer:
    """Start the trainer of an attempt by the launcher that was granted.

    A container that cannot be had is an error with its own failure code, unless
    ``ACADEMY_LAUNCHER_FALLBACK`` names what may take its place; the job's log then says so.
    """
    order = TrainerOrder(attempt.claim, granted, spec, folder, environment)
    if granted.launcher == "native":
        return NativeTrainer(attempt.settings.trainer_command, order, attempt.events)
    device = str(spec["recipe"].get("device", "auto"))
    gpus = () if device == "cpu" else tuple(attempt.job.devices)  # as reserved by the claim
    return _in_habitat(attempt, replace(order, gpus=gpus), device)


def _in_habitat(attempt: Attempt, order: TrainerOrder, device: str) -> Trainer:
    from academy.training.launchers.habitat import GPUHabitat  # loads the Docker client

    settings = attempt.settings
    instead = {each.strip() for each in settings.launcher_fallback.split(",")}
    habitat = GPUHabitat(settings)
    try:
        try:
            return habitat.start(order, attempt.events)
        except NvidiaRuntimeMissing as error:
            if "cpu" not in instead or device == "cuda":
                raise
            _say(attempt, error, "Training in a container without GPUs instead")
            return habitat.start(replace(order, gpus=()), attempt.events)
    except (DockerUnavailable, DockerForbidden, ImageMissing) as error:
        if "native" not in instead:
            raise
        _say(attempt, error, "Training in a process of this host instead")
        return NativeTrainer(settings.trainer_command, order, attempt.events)


def _say(attempt: Attempt, error: AcademyError, instead: str) -> None:
    attempt.events.emit(
        "log",
        level="warning",
        message=f"{error} {instead}, as ACADEMY_LAUNCHER_FALLBACK allows. {error.next_step}",
    )
