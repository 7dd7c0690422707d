"""One worker process: who it is, its stores and devices, its heart-beat, and what it may take."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import psutil

import academy
from academy.events.sender import EventSender
from academy.host.gpu_watch import Health, look
from academy.host.gpus import GpusUnknown, own_gpus
from academy.jobs import kinds
from academy.queues import GPU
from academy.settings import Settings
from academy.store.engine import (
    Session,
    Sessions,
    StoreError,
    autocommit,
    close_sessions,
    make_sessions,
)
from academy.store.jobs import gangs, slots, transitions, workers
from academy.store.jobs.gangs import Part
from academy.store.jobs.slots import BusyWorker, Offer
from academy.store.jobs.tables import Job
from academy.store.schema import needed_revision
from workers.hint_consumer import HintConsumer

log = logging.getLogger(__name__)

#: Packages whose versions decide what a GPU worker can train.
_TRAINING_PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "unsloth")


class WorkerProcess:
    """Registers this process in Postgres, keeps it fresh from a thread, and claims its jobs.

    `draining` is set when the process shuts down; a held job then writes a checkpoint and goes back
    to the queue. A drain that somebody asked for calls `end`, which is to shut the process down.
    Making one raises `GpuMissing` and `GpusUnknown`.
    """

    def __init__(
        self,
        settings: Settings,
        queue: str,
        end: Callable[[], None],
        take_part: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.queue = queue
        self.sessions: Sessions = make_sessions(settings, pool_size=4)
        self.events = EventSender(settings, self.sessions)
        host = settings.host_name
        self.id = f"{host}-{queue}-{os.getpid()}-{secrets.token_hex(2)}"
        self.devices = tuple(own_gpus()) if queue == GPU else ()
        self.draining = threading.Event()
        self.is_busy = threading.Event()
        self.consumer = HintConsumer(queue)
        self.obstacle: str | None = None
        self._host = host
        self._end = end
        self._take_part = take_part
        #: While jobs of several hosts wait, a claim also looks at what other hosts have.
        self._gangs_wait = False
        self._asked_to_drain = False
        self._revision = needed_revision()
        self._kinds = kinds.names(kinds.of_queue(queue))
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, name="heart-beat", daemon=True)]
        if queue == GPU:
            look = threading.Thread(target=self._look_for_parts, name="parts", daemon=True)
            self._threads.append(look)

    def start(self) -> None:
        """Register, then stay registered until `stop`."""
        self._beat()
        self.events.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Say good-bye and give the connections back; the row stays as history."""
        self._stopped.set()
        self.events.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(self.settings.postgres.timeout_seconds + 5)
        try:
            with self.sessions.begin() as session:
                workers.stopped(session, self.id)
                gangs.leave_all(session, self.id)
        except StoreError as error:
            log.warning("the worker could not say good-bye: %s", type(error).__name__)
        close_sessions(self.sessions)

    def claim(self) -> Job | None:
        """The best job that this process can take; None if there is none or it may not take one.

        The GPUs are looked at afresh, and the schema has to be the one that this code was written
        for at the moment of the claim.
        """
        if self.draining.is_set():
            return None
        health = self._look()
        if health is None:
            return None
        offer = Offer(
            self._host,
            self.devices,
            gone=frozenset(health.gone),
            used=frozenset(health.used),
            lease_seconds=self.settings.jobs.lease_seconds,
            wide_wait_seconds=self.settings.host.wide_wait_seconds,
        )
        try:
            if not self.devices and not self._gangs_wait:
                # One statement. Devices, and jobs of several hosts, are looked at under locks.
                with autocommit(self.sessions) as session:
                    job = self._claim(session, Offer())
                if job is not None or self.queue != GPU:
                    return job
            with self.sessions.begin() as session:
                job = self._claim(session, offer)
                if job is None and self.devices:
                    self._note(self._obstacle(session, health))
        except StoreError as error:
            log.warning("nothing can be claimed now: %s", type(error).__name__)
            return None
        return job

    def part(self) -> Part | None:
        """The part in another worker's job that this process was given; None if there is none."""
        if self.queue != GPU or self.draining.is_set():
            return None
        try:
            with autocommit(self.sessions) as session:
                return gangs.part_of(session, self.id)
        except StoreError as error:
            log.warning("no part can be looked for now: %s", type(error).__name__)
            return None

    def gives_back(self, part: Part) -> bool:
        """Whether a part is given up at once, as a device of it is gone or in use by a stranger.

        The leader that gave it out knows this host by its last heart-beat only.
        """
        health = self._look()
        found = {} if health is None else {**health.used, **health.gone}
        why = [found[each] for each in part.devices if each in found]
        if health is not None and not why:
            return False
        log.warning("a part is given back: %s", "; ".join(why) or self.obstacle)
        try:
            with self.sessions.begin() as session:
                gangs.leave_all(session, self.id)
        except StoreError as error:
            log.warning("the part runs out by itself: %s", type(error).__name__)
        self._beat()  # so that it is not given out again
        return True

    def _claim(self, session: Session, offer: Offer) -> Job | None:
        lease = self.settings.jobs.lease_seconds
        return transitions.claim(
            session, self.queue, self.id, lease, offer, self._revision, self._kinds
        )

    def _look_for_parts(self) -> None:
        """Begin a part within a second or so; a worker that waits for hints looks for nothing."""
        ask_at = 0.0
        while not self._stopped.wait(self.settings.jobs.look_seconds):
            try:
                with autocommit(self.sessions) as session:
                    self._gangs_wait, part = gangs.look(session, self.queue, self.id)
            except StoreError:
                continue  # the heart-beat says so
            is_free = not (self.is_busy.is_set() or self.draining.is_set())
            if part is None or not is_free or time.monotonic() < ask_at:
                continue
            # Said again later, as a connection to the broker that breaks now forgets it.
            ask_at = time.monotonic() + self.settings.jobs.heartbeat_seconds
            self.consumer.run_soon(self._take_part)

    def _run(self) -> None:
        while not self._stopped.wait(self.settings.jobs.heartbeat_seconds):
            self._beat()

    def _beat(self) -> None:
        health = self._look()
        try:
            with autocommit(self.sessions) as session:
                if health is not None:
                    self._note(self._obstacle(session, health))
                asked_to_drain = workers.seen(
                    session,
                    self.id,
                    queue=self.queue,
                    host=self._host,
                    pid=os.getpid(),
                    versions=self._versions(),
                    gpus=self._shown(health, self._holders(session)),
                    kinds=self._kinds,
                    obstacle=self.obstacle,
                    cpus=os.cpu_count(),
                    memory_bytes=psutil.virtual_memory().total,
                )
        except StoreError as error:
            log.warning("the heart-beat was not recorded: %s", type(error).__name__)
            return
        if asked_to_drain and not self._asked_to_drain:
            self._asked_to_drain = True
            log.info("asked to drain: the job is handed back and the process ends")
            self._end()

    def _look(self) -> Health | None:
        """The state of the host's GPUs; None, and an obstacle, if the driver does not answer."""
        if not self.devices:
            return Health()
        try:
            return look(self.devices, self.settings.host.foreign_gpu_bytes)
        except GpusUnknown as error:
            self._note(str(error))
            return None

    def _holders(self, session: Session) -> dict[str, slots.BusyWorker]:
        """Who holds each taken device, as far as this process has any."""
        return slots.holders(slots.busy_workers(session)) if self.devices else {}

    def _obstacle(self, session: Session, health: Health) -> str | None:
        """Why this process can take no job, as far as it is free to; None if it can."""
        schema = workers.schema_at(session)
        if schema != self._revision:
            return (
                f"the schema is at revision {schema}, but this worker"
                f" (Academy {academy.__version__}) needs {self._revision}"
            )
        holders = self._holders(session)
        if any(each.worker_id == self.id for each in holders.values()):
            return None
        found = [_device_obstacle(each, health, holders) for each in self.devices]
        reasons = [each for each in found if each is not None]
        return "; ".join(reasons) if reasons and len(reasons) == len(found) else None

    def _note(self, obstacle: str | None) -> None:
        """Remember why no job is taken; hints are left to other workers meanwhile."""
        if obstacle != self.obstacle:
            if obstacle is None:
                log.info("takes jobs again")
            else:
                log.warning("takes no jobs: %s", obstacle)
        self.obstacle = obstacle
        self.consumer.set_open(obstacle is None)

    def _shown(
        self, health: Health | None, holders: Mapping[str, BusyWorker]
    ) -> list[dict[str, Any]]:
        """This process's devices as the workers' table keeps them, each with its obstacle."""
        if health is None:
            return [
                {"uuid": each, "name": each, "obstacle": self.obstacle} for each in self.devices
            ]
        facts = {gpu.uuid: gpu.as_dict() for gpu in health.gpus}
        return [
            {
                "uuid": each,
                "name": each,
                **facts.get(each, {}),
                "obstacle": health.gone.get(each)
                or (None if each in holders else health.used.get(each)),
            }
            for each in self.devices
        ]

    def _versions(self) -> dict[str, str]:
        packages = _TRAINING_PACKAGES if self.queue == GPU else ()
        return {**_installed(packages), "schema": self._revision}


def _device_obstacle(device: str, health: Health, holders: Mapping[str, BusyWorker]) -> str | None:
    if device in health.gone:
        return health.gone[device]
    if device in holders:
        return f"{device} is reserved for the job {holders[device].job_id}"
    return health.used.get(device)


@lru_cache(maxsize=2)
def _installed(packages: tuple[str, ...]) -> dict[str, str]:
    found = {"academy": academy.__version__, "python": platform.python_version()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # nothing to tell
    return found
