"""GPU slots: which are free, which a claim gets, and whether a job can ever run.

A slot is a GPU that a live worker offers, named by its UUID. It is taken if and only if a job with
a lease names it in ``devices``, so it is free again in the moment in which the job ends, goes back
to the queue or is reaped; there is no second book of slots that could disagree.

A job of several GPUs (a wide job) gets all of them on one host or none. Narrow jobs, which fit more
often, would starve it. So once it has waited for ``wide_wait_seconds``, one host keeps its free
slots for it: the host that could hold it and has most slots free (the first by name among equals).
There only jobs of a higher priority are claimed before it. At most as many slots as it asks for,
less one, stand idle meanwhile, on that one host alone; every job that ends there brings it nearer,
so it starts at the latest when the jobs that ran on that host are over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from academy.lifecycle import Status
from academy.store.base import from_now, now
from academy.store.fair_share import Fit
from academy.store.tables import Job, Worker

#: Overdue wide jobs that are looked at for one that some host could hold.
_WIDE_LIMIT = 50


@dataclass(frozen=True)
class Offer:
    """What a worker brings to a claim; without GPUs of its own it is a CPU worker."""

    host: str = ""
    own: tuple[str, ...] = ()  # UUIDs; one of them must be free for the worker to take a job
    gone: frozenset[str] = frozenset()  # devices of the host that it misses at this moment
    used: frozenset[str] = frozenset()  # those with processes that would be strangers if it is free
    lease_seconds: float = 60.0  # a worker that was silent for longer offers nothing
    wide_wait_seconds: float = 300.0


@dataclass(frozen=True)
class Grant:
    """What a claim may take: free devices in the order in which they are given out."""

    fit: Fit
    devices: tuple[str, ...] = ()
    #: The wide job whose turn it is once no job of a higher priority is there.
    wide_job_id: str | None = None


@dataclass(frozen=True)
class Fleet:
    """The live workers of a queue: usable devices by host, and whether CPU workers are there."""

    hosts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    has_cpu_worker: bool = False


def grant(session: Session, queue: str, offer: Offer) -> Grant | None:
    """What `offer` may claim; None if its slots are taken or kept for a wide job.

    Until the transaction ends, nobody else is granted a device of this host.
    """
    if not offer.own:
        return Grant(Fit())
    fleet = live_fleet(session, queue, offer.lease_seconds)
    known = fleet.hosts.get(offer.host, frozenset()) | set(offer.own)
    _lock(session, sorted(known))
    taken = holders(session)
    usable = known - offer.gone - (offer.used - taken.keys())
    own = [each for each in offer.own if each in usable - taken.keys()]
    if not own:
        return None
    devices = (*own, *sorted(usable - taken.keys() - set(own)))
    fleet = Fleet({**fleet.hosts, offer.host: usable}, fleet.has_cpu_worker)
    wide = _waiting_wide_job(session, queue, fleet, offer)
    if wide is None or _host_for(wide.gpus, fleet, taken) != offer.host:
        return Grant(Fit(gpus=len(devices), on_gpu=True), devices)
    return Grant(
        Fit(gpus=len(devices), on_gpu=True, above=wide.priority),
        devices,
        wide.id if wide.gpus <= len(devices) else None,
    )


@dataclass(frozen=True)
class Holder:
    """Who has a device."""

    job_id: str
    worker_id: str | None


def holders(session: Session) -> dict[str, Holder]:
    """The job that holds each taken device, and the worker that carries it out."""
    held = session.execute(
        select(func.unnest(Job.devices).label("device"), Job.id, Job.worker_id).where(
            Job.lease_expires_at.is_not(None)
        )
    )
    return {row.device: Holder(row.id, row.worker_id) for row in held}


def live_fleet(session: Session, queue: str, lease_seconds: float) -> Fleet:
    """The workers of a queue that take jobs, or will once they are done with what they have."""
    rows = session.execute(
        select(Worker.host, Worker.gpus, Worker.obstacle).where(
            Worker.queue == queue,
            Worker.last_seen_at > from_now(-lease_seconds),
            Worker.stopped_at.is_(None),
            Worker.drain_requested_at.is_(None),
        )
    ).all()
    hosts: dict[str, frozenset[str]] = {}
    for host, gpus, _ in rows:
        usable = {gpu["uuid"] for gpu in gpus if not gpu.get("obstacle")}
        if gpus:
            hosts[host] = hosts.get(host, frozenset()) | usable
    has_cpu_worker = any(not gpus and obstacle is None for _, gpus, obstacle in rows)
    return Fleet(hosts, has_cpu_worker)


def why_waiting(session: Session, job: Job, lease_seconds: float) -> str | None:
    """Why no live worker can ever take a job that waits; None for one that will get its turn."""
    if job.status != Status.QUEUED:
        return None
    return why_never(job, live_fleet(session, job.queue, lease_seconds))


def why_never(job: Job, fleet: Fleet) -> str | None:
    """Why no live worker can ever take a queued job; None if one can."""
    if not fleet.hosts and not fleet.has_cpu_worker:
        return f"No live worker takes jobs of the queue {job.queue!r}."
    if fleet.has_cpu_worker and not job.needs_gpu:
        return None
    if not fleet.hosts:
        return "The recipe's device is 'cuda', and no live worker has a GPU."
    host, devices = max(fleet.hosts.items(), key=lambda each: (len(each[1]), each[0]))
    if job.gpus <= len(devices):
        return None
    return (
        f"The recipe asks for {job.gpus} GPUs of one host; the live host with most,"
        f" {host}, has {len(devices)} that can be used."
    )


def _lock(session: Session, devices: Sequence[str]) -> None:
    # Always in the same order, so that two claims on one host wait for each other and never
    # crosswise. Locks by device hold even where one host goes by two names (two containers).
    session.execute(
        text(
            "SELECT pg_advisory_xact_lock(hashtextextended(device, 0))"
            " FROM unnest(cast(:devices AS text[])) WITH ORDINALITY AS each(device, place)"
        ),
        {"devices": list(devices)},
    )


def _waiting_wide_job(session: Session, queue: str, fleet: Fleet, offer: Offer) -> Job | None:
    """The first wide job that has waited too long and that some live host could hold."""
    waiting = session.scalars(
        select(Job)
        .where(
            Job.queue == queue,
            Job.status == Status.QUEUED,
            Job.gpus > 1,
            Job.created_at < from_now(-offer.wide_wait_seconds),
            Job.not_before <= now(),
        )
        .order_by(Job.priority.desc(), Job.created_at)
        .limit(_WIDE_LIMIT)
    ).all()
    largest = max((len(devices) for devices in fleet.hosts.values()), default=0)
    return next((job for job in waiting if job.gpus <= largest), None)


def _host_for(gpus: int, fleet: Fleet, taken: Mapping[str, Holder]) -> str:
    """The host that keeps its free slots for a wide job: the one with most of them."""
    free = {
        host: len(devices - taken.keys())
        for host, devices in fleet.hosts.items()
        if len(devices) >= gpus
    }
    return min(free, key=lambda host: (-free[host], host))
