"""Choosing a launcher for an attempt, and what takes its place where policy allows that."""

from __future__ import annotations

from dataclasses import replace

from academy.errors import AcademyError
from academy.events.emitter import Emitter
from academy.settings import Settings
from academy.training.launchers.errors import (
    DockerForbidden,
    DockerUnavailable,
    ImageMissing,
    NvidiaRuntimeMissing,
)
from academy.training.launchers.native import NativeTrainer
from academy.training.launchers.order import Trainer, TrainerOrder


def start_trainer(settings: Settings, order: TrainerOrder, events: Emitter) -> Trainer:
    """Start a trainer by the launcher that its order was granted.

    A container that cannot be had is an error with its own failure code, unless
    ``ACADEMY_LAUNCHER_FALLBACK`` names what may take its place; the job's log then says so.
    """
    if order.granted.launcher == "native":
        return NativeTrainer(settings.training.command, order, events)
    device = str(order.spec["recipe"].get("device", "auto"))
    return _in_habitat(settings, replace(order, gpus=()) if device == "cpu" else order, events)


def _in_habitat(settings: Settings, order: TrainerOrder, events: Emitter) -> Trainer:
    from academy.training.launchers.habitat import GPUHabitat  # loads the Docker client

    instead = settings.training.fallback
    habitat = GPUHabitat(settings)
    try:
        try:
            return habitat.start(order, events)
        except NvidiaRuntimeMissing as error:
            if "cpu" not in instead or order.spec["recipe"].get("device") == "cuda":
                raise
            _say(events, error, "Training in a container without GPUs instead")
            return habitat.start(replace(order, gpus=()), events)
    except (DockerUnavailable, DockerForbidden, ImageMissing) as error:
        if "native" not in instead:
            raise
        _say(events, error, "Training in a process of this host instead")
        return NativeTrainer(settings.training.command, order, events)


def _say(events: Emitter, error: AcademyError, instead: str) -> None:
    events.emit(
        "log",
        level="warning",
        message=f"{error} {instead}, as ACADEMY_LAUNCHER_FALLBACK allows. {error.next_step}",
    )
