"""What keeps a GPU from taking a job: it vanished, or somebody else's process sits on it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import psutil

from academy.errors import AcademyError
from academy.host.gpus import Gpu, GpuProcess, GpusUnknown, read_gpus, read_processes

log = logging.getLogger(__name__)


class DeviceLost(AcademyError):
    """The driver does not show the GPU {devices} any more."""

    code = "device_lost"
    next_step = "Run nvidia-smi on that host; its worker takes no job on that GPU until it is back."


@dataclass(frozen=True)
class Health:
    """What one look at a host's GPUs found: sentences by UUID."""

    gpus: tuple[Gpu, ...] = ()
    gone: Mapping[str, str] = field(default_factory=dict)
    #: Processes that are strangers unless a job of ours holds the device.
    used: Mapping[str, str] = field(default_factory=dict)


def look(own: Collection[str], allowed_bytes: int) -> Health:
    """See which of a worker's `own` GPUs are gone, and which GPUs of the host are in use.

    A process on a device that is free by our books is a stranger, unless it descends from this one
    or is the model server that Academy itself runs beside its workers. A trainer that outlived its
    lease is a stranger, too. Strangers are borne up to `allowed_bytes` of memory on a device;
    memory that the driver does not tell is too much. Raises `GpusUnknown`.
    """
    gpus = tuple(read_gpus())
    strangers: dict[str, list[GpuProcess]] = {}
    for process in read_processes():
        if not _is_ours(process.pid):
            strangers.setdefault(process.uuid, []).append(process)
    shown = {gpu.uuid for gpu in gpus}
    return Health(
        gpus,
        gone={
            uuid: f"the driver does not show {uuid} any more"
            for uuid in own
            if uuid not in shown and not _is_part(uuid)
        },
        used={
            uuid: f"{uuid} is in use by a process that is not Academy's: "
            + ", ".join(f"{each.pid} ({each.name})" for each in found)
            for uuid, found in strangers.items()
            if any(each.memory_bytes is None for each in found)
            or sum(each.memory_bytes or 0 for each in found) > allowed_bytes
        },
    )


def _is_part(uuid: str) -> bool:
    return uuid.startswith("MIG-")  # the driver's listings name whole GPUs only


def _is_ours(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        if any(each.pid == psutil.Process().pid for each in (process, *process.parents())):
            return True
        return "academy.runtime" in process.cmdline()
    except psutil.Error:
        return False  # of another user, or of another process namespace


class GpuWatch:
    """Looks after the GPUs of a running job in a thread, while used as a context manager."""

    def __init__(self, devices: Collection[str], interval_seconds: float) -> None:
        self._given = tuple(devices)
        self._devices = frozenset(each for each in devices if not _is_part(each))
        self._interval = interval_seconds
        self._lost: frozenset[str] = frozenset()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpus", daemon=True)

    def __enter__(self) -> Self:
        if self._devices:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(15)

    @property
    def environment(self) -> dict[str, str]:
        """What shows a trainer these GPUs and no other; {} without any, as on a CPU worker."""
        return {"CUDA_VISIBLE_DEVICES": ",".join(self._given)} if self._given else {}

    def check(self) -> None:
        """Raise `DeviceLost` if two looks in a row missed a GPU; one answer may be a hiccup."""
        if self._lost:
            raise DeviceLost(devices=", ".join(sorted(self._lost)))

    def look(self) -> None:
        """Raise `DeviceLost` if a GPU is missing at this moment, which then explains a failure."""
        missing = self._missing()
        if missing:
            raise DeviceLost(devices=", ".join(sorted(missing)))

    def _missing(self) -> frozenset[str]:
        if not self._devices:
            return frozenset()
        try:
            return self._devices - {gpu.uuid for gpu in read_gpus()}
        except GpusUnknown as error:
            log.warning("%s", error)
            return frozenset()

    def _run(self) -> None:
        missing: frozenset[str] = frozenset()
        while not self._over.wait(self._interval):
            before, missing = missing, self._missing()
            self._lost = missing & before
