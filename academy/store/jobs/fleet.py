"""The live workers of a queue, and which of them could hold a job or start it now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field


@dataclass(frozen=True)
class WorkerSeen:
    """A live worker process. `gpus` are its usable devices; `is_open`: it has no obstacle.

    `build` tells apart versions whose trainers may not understand each other.
    """

    worker_id: str
    host: str
    gpus: frozenset[str]
    on_gpu: bool
    is_open: bool
    build: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Fleet:
    """The live workers of a queue: the usable devices of each host with GPUs, and the processes."""

    hosts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    workers: tuple[WorkerSeen, ...] = ()

    @property
    def cpu_hosts(self) -> frozenset[str]:
        """The hosts with a worker that trains on the CPU."""
        return frozenset(each.host for each in self.workers if not each.on_gpu and each.is_open)

    def for_hosts(self, hosts: int) -> list[Fleet]:
        """What a job of so many hosts may be spread over: for several, the workers of one build."""
        if hosts == 1:
            return [self]
        parts: dict[tuple[str | None, ...], list[WorkerSeen]] = {}
        for worker in self.workers:
            parts.setdefault(worker.build, []).append(worker)
        return [
            Fleet(
                {
                    host: frozenset[str]().union(*(h.gpus for h in workers if h.host == host))
                    & known
                    for host, known in self.hosts.items()
                    if any(h.host == host and h.on_gpu for h in workers)
                },
                tuple(workers),
            )
            for workers in parts.values()
        ]


@dataclass(frozen=True)
class Demand:
    """What a job of `queue` asks for: so many hosts with so many GPUs each."""

    queue: str
    gpus: int
    hosts: int
    needs_gpu: bool


@dataclass(frozen=True)
class WideJob:
    """A waiting job of several GPUs of a host, or of several hosts with `gpus` each."""

    id: str
    priority: int
    gpus: int
    hosts: int
    needs_gpu: bool
    is_overdue: bool


@dataclass(frozen=True)
class Seat:
    """A part in a job of several hosts: the worker of another host, and the devices it brings."""

    worker_id: str
    host: str
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """A fleet at one moment: the devices that are taken, and the processes that have work."""

    fleet: Fleet
    taken: Set[str]
    busy: Set[str]

    def kept_for(self, wide: WideJob) -> tuple[bool, frozenset[str]]:
        """Whether GPUs would hold the job, and the hosts that then keep their free slots for it.

        They are those with most slots free, the first by name among equals; none if no live hosts
        could ever hold it. A job of one host needs no turn among workers without GPUs, since any of
        them can take it.
        """
        fleets = self.fleet.for_hosts(wide.hosts)
        for fleet in fleets:
            free = {
                host: len(devices - self.taken)
                for host, devices in fleet.hosts.items()
                if len(devices) >= wide.gpus
            }
            if len(free) >= wide.hosts:
                return True, _fullest(free, wide.hosts)
        if not wide.needs_gpu and wide.hosts > 1:
            idle = [each.host for each in self._idle(on_gpu=False)]
            for fleet in fleets:
                free = {host: idle.count(host) for host in fleet.cpu_hosts}
                if len(free) >= wide.hosts:
                    return False, _fullest(free, wide.hosts)
        return True, frozenset()

    def gather(
        self, wide: WideJob, leader: str, devices: Sequence[str], *, on_gpu: bool, closed: Set[str]
    ) -> tuple[Seat, ...] | None:
        """The other workers with which `leader` can start the job now; None if it cannot.

        `devices` are those that its host can give; hosts in `closed` are left alone. All of a gang
        have the same build, and all train on GPUs or all on CPUs.
        """
        if len(devices) < wide.gpus if on_gpu else wide.needs_gpu:
            return None
        if wide.hosts == 1:
            return ()
        own = next((each for each in self.fleet.workers if each.worker_id == leader), None)
        if own is None:
            return None  # it is about to stop
        given = set(devices[: wide.gpus])
        seats: dict[str, Seat] = {}
        for worker in sorted(self._idle(on_gpu), key=lambda each: (each.host, each.worker_id)):
            if len(seats) == wide.hosts - 1:
                break
            if worker.host in {own.host, *closed, *seats} or worker.build != own.build:
                continue
            # Two names may stand for one host (two containers), so what is given counts as taken.
            first = sorted(worker.gpus - self.taken - given)
            others = self.fleet.hosts.get(worker.host, frozenset()) - self.taken - given
            if on_gpu and (not first or len(others | set(first)) < wide.gpus):
                continue
            share = (*first, *sorted(others - set(first)))[: wide.gpus] if on_gpu else ()
            seats[worker.host] = Seat(worker.worker_id, worker.host, share)
            given.update(share)
        return tuple(seats.values()) if len(seats) == wide.hosts - 1 else None

    def _idle(self, on_gpu: bool) -> list[WorkerSeen]:
        return [
            each
            for each in self.fleet.workers
            if each.on_gpu == on_gpu and each.is_open and each.worker_id not in self.busy
        ]


def _fullest(free: Mapping[str, int], count: int) -> frozenset[str]:
    return frozenset(sorted(free, key=lambda host: (-free[host], host))[:count])
