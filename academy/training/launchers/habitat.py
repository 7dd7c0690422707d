"""The launcher `docker`: the trainer lives in a container that can do nothing but train."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from docker.errors import APIError
from docker.types import DeviceRequest, LogConfig, Mount, Ulimit

import docker
from academy.errors import AcademyError
from academy.events.emitter import Emitter
from academy.settings import Settings
from academy.training.launchers import docker_engine
from academy.training.launchers.container import ContainerTrainer, remove
from academy.training.launchers.errors import (
    ContainerRefused,
    ImageMissing,
    TrainerMayNotRead,
)
from academy.training.launchers.order import TrainerOrder
from academy.training.launchers.output import OutsideOut, TrainerOutput

_INSIDE = PurePosixPath("/academy")
_OUT = _INSIDE / "out"
#: By these labels a container is found again, and its owner told from its job's.
JOB, ATTEMPT, FENCE, WORKER = (
    "academy.job",
    "academy.attempt",
    "academy.fence",
    "academy.worker",
)


class GPUHabitat:
    """Gives trainers a container with GPUs, with limits, and with nothing else of the host."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def start(self, order: TrainerOrder, events: Emitter) -> ContainerTrainer:
        """Start a trainer after making sure that everything it needs is there.

        Raises `DockerUnavailable`, `DockerForbidden`, `ImageMissing`, `NvidiaRuntimeMissing` or
        `ContainerRefused`; no container is left behind.
        """
        client = docker_engine.connect(self._settings)
        try:
            image = docker_engine.image_id(client, order.granted.image)
            container = self._create(client, order, image)
            try:
                trainer = ContainerTrainer(
                    client, container, TrainerOutput(events, _folder_in(order.out))
                )
            except BaseException:
                remove(client, container)
                raise
        except BaseException as error:
            client.close()
            if isinstance(error, docker_engine.ENGINE_ERRORS):
                raise _refusal(error, order) from error
            raise
        events.emit("log", level="info", message=_said(order, image))
        return trainer

    def _create(self, client: docker.APIClient, order: TrainerOrder, image: str) -> str:
        settings, granted = self._settings, order.granted
        limits = granted.limits
        user = trainer_user(settings)
        inputs = _inputs(order)
        for source in inputs.values():
            _require_readable(Path(source), user)
        mounts = [
            *(_read_only(source, str(_INSIDE / name)) for name, source in inputs.items()),
            *extra_mounts(settings),
        ]
        _hand_over(order.out, user)
        mounts.append(Mount(str(_OUT), str(order.out), type="bind"))
        memory = limits.memory_bytes
        host = client.create_host_config(
            mounts=mounts,
            network_mode=settings.docker.network if granted.network else "none",
            read_only=True,
            # Compilers of GPU kernels write libraries there and load them, so it is executable.
            tmpfs={"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={settings.docker.tmp_bytes}"},
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            mem_limit=memory,
            memswap_limit=memory,  # the same number: no swap on top
            nano_cpus=None if limits.cpus is None else int(limits.cpus * 1e9),
            pids_limit=settings.docker.pids,
            shm_size=settings.docker.shm_bytes,
            ulimits=[Ulimit(name="core", soft=0, hard=0)],
            device_requests=_devices(order),
            # What it prints is the job's log; the engine keeps no second copy on its disk.
            log_config=LogConfig(type="none"),
        )
        made: dict[str, Any] = client.create_container(
            image,
            entrypoint=list(settings.docker.command),
            command=[str(_INSIDE / "spec.json"), "--out", str(_OUT), "--lifeline"],
            user=user,
            working_dir="/tmp",
            environment=_environment(order),
            labels=labels_of(order),
            name=f"academy-{order.claim.job_id}-{order.claim.fence}",
            stdin_open=True,  # and ended by the engine when this process lets go of it
            host_config=host,
            healthcheck={"test": ["NONE"]},
        )
        return str(made["Id"])


def labels_of(order: TrainerOrder) -> dict[str, str]:
    """The labels by which the sweep finds a container and tells whose it is."""
    claim = order.claim
    return {
        JOB: claim.job_id,
        ATTEMPT: str(claim.attempt),
        FENCE: str(claim.fence),
        WORKER: claim.worker_id,
    }


def trainer_user(settings: Settings) -> str:
    """``uid:gid`` inside the container: the worker's own, or the configured one under root."""
    return f"{os.getuid()}:{os.getgid()}" if os.getuid() else settings.docker.user


def extra_mounts(settings: Settings) -> list[Mount]:
    """The read-only mounts of ``ACADEMY_DOCKER_MOUNTS``. Raises `ContainerRefused`."""
    mounts = []
    for each in settings.docker.mounts:
        source, _, target = each.partition(":")
        if not (source.startswith("/") and target.startswith("/") and Path(source).exists()):
            why = f"ACADEMY_DOCKER_MOUNTS names {each!r}, which is no /existing/path:/in/container"
            raise ContainerRefused(why=why)
        mounts.append(_read_only(source, target))
    return mounts


def _read_only(source: str, target: str) -> Mount:
    return Mount(target, source, type="bind", read_only=True)


def _inputs(order: TrainerOrder) -> dict[str, str]:
    """What the trainer reads: this host's place by the name inside. Writes the spec with these."""
    spec = dict(order.spec)
    model, dataset = Path(spec["base_model"]["path"]), spec["dataset"]["path"]
    spec["base_model"] = {**spec["base_model"], "path": str(_INSIDE / "base-model")}
    spec["dataset"] = {**spec["dataset"], "path": str(_INSIDE / "dataset")}
    found = {"base-model": str(model), "dataset": str(dataset)}
    digest = model.parent / f".{model.name}.digest.json"
    if digest.is_file():  # spares the trainer hashing the weights once more
        found[".base-model.digest.json"] = str(digest)
    if spec.get("resume_from"):
        found["checkpoint"] = str(spec["resume_from"])
        spec["resume_from"] = str(_INSIDE / "checkpoint")
    if spec.get("init_adapter"):
        found["init-adapter"] = str(spec["init_adapter"]["path"])
        spec["init_adapter"] = {**spec["init_adapter"], "path": str(_INSIDE / "init-adapter")}
    file = order.folder / "spec.json"
    file.write_text(json.dumps(spec, indent=1))
    file.chmod(0o644)
    return {**found, "spec.json": str(file)}


def _require_readable(source: Path, user: str) -> None:
    """Raise `TrainerMayNotRead` for the first file that the container's user cannot read.

    Weights are often written for their owner alone. Only a worker that is root gives the container
    another user than its own.
    """
    uid, _, gid = user.partition(":")
    if os.getuid() != 0 or uid == "0":
        return
    for path in (source, *source.rglob("*")):
        found = path.stat()
        mine = 0o500 if found.st_uid == int(uid) else 0o050 if found.st_gid == int(gid) else 0o005
        needed = mine if path.is_dir() else mine & 0o444
        if found.st_mode & needed != needed:
            raise TrainerMayNotRead(user=user, path=path)


def _hand_over(out: Path, user: str) -> None:
    """Make the folder that the trainer writes into, and give it to its user where we are root."""
    out.mkdir(mode=0o700, exist_ok=True)
    if os.getuid() == 0:
        uid, _, gid = user.partition(":")
        os.chown(out, int(uid), int(gid or uid))


def _environment(order: TrainerOrder) -> dict[str, str]:
    """Nothing of the worker's own environment, which holds passwords."""
    wanted: Mapping[str, str] = order.environment
    threads = order.granted.limits.cpus
    return {
        "HOME": "/tmp",
        "PYTHONUNBUFFERED": "1",
        # A library sees all of the host's CPUs and would start a thread for each.
        **({} if threads is None else {"OMP_NUM_THREADS": str(max(1, int(threads)))}),
        # The container sees the chosen devices only and counts them from 0.
        **{name: value for name, value in wanted.items() if name != "CUDA_VISIBLE_DEVICES"},
    }


def _devices(order: TrainerOrder) -> list[DeviceRequest]:
    if not order.gpus:
        return []
    return [DeviceRequest(driver="nvidia", device_ids=list(order.gpus), capabilities=[["gpu"]])]


def _folder_in(out: Path) -> Callable[[str], Path]:
    """From a folder that the trainer names to the one of this host.

    What runs in the container is not ours. A path outside its own folder, or a link or device in
    it, would make the worker read and publish other files of this host.
    """

    def folder_of(named: str) -> Path:
        path = PurePosixPath(str(named))
        if ".." in path.parts or not path.is_relative_to(_OUT):
            raise OutsideOut(f"The container named the folder {named!r}, which is not its own.")
        folder = out / path.relative_to(_OUT)
        if not folder.resolve().is_relative_to(out.resolve()):
            raise OutsideOut(f"The container's folder {named!r} leads out of its own.")
        for each in (folder, *folder.rglob("*")):
            if each.is_symlink() or not (each.is_file() or each.is_dir()):
                raise OutsideOut(f"The container left {each.name!r}, which is no plain file.")
        return folder

    return folder_of


def _refusal(error: Exception, order: TrainerOrder) -> AcademyError:
    if isinstance(error, APIError) and error.status_code == 404 and "image" in str(error):
        return ImageMissing(image=order.granted.image)  # removed since it was looked for
    return docker_engine.known(error)


def _said(order: TrainerOrder, image: str) -> str:
    limits = order.granted.limits
    parts = [f"Training in a container of {order.granted.image} ({image[:19]})"]
    parts.append(f"{len(order.gpus)} GPUs" if order.gpus else "no GPU")
    if limits.cpus is not None:
        parts.append(f"{limits.cpus:g} CPUs")
    if limits.memory_bytes is not None:
        parts.append(f"{limits.memory_bytes / (1 << 30):.2f} GiB")
    parts.append("a network" if order.granted.network else "no network")
    return ", ".join(parts) + "."
