"""GPU slots: which are free, which a claim gets, and whether a job can ever run.

A slot is a GPU that a live worker offers, named by its UUID. It is taken if and only if a job with
a lease, or a part in such a job (`GangMember`), names it in ``devices``. So it is free again in the
moment in which the job or the part ends, goes back to the queue or is reaped; there is no second
book of slots that could disagree.

A wide job asks for several GPUs of a host, for several hosts, or for both. It gets all of them at
once or none, and holds nothing while it waits, so no two of them can wait for each other. Narrow
jobs, which fit more often, would starve it. So once it has waited for ``wide_wait_seconds``, as
many hosts as it needs keep their free slots for it: of those that could hold it the ones with most
slots free (the first by name among equals). There only jobs of a higher priority are claimed before
it. This is one wide job's turn at a time, by priority, then age; every job that ends on its hosts
brings it nearer, so it starts at the latest when the jobs that ran there are over. A worker without
GPUs is the one slot that it offers itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Exists, any_, insert, literal, or_, select, text, union_all
from sqlalchemy.orm import Session

from academy.lifecycle import MemberStatus, Status
from academy.store.base import from_now, now
from academy.store.jobs.fair_share import MOST_GPUS, Eligibility
from academy.store.jobs.fleet import Demand, Fleet, Seat, Snapshot, WideJob, WorkerSeen
from academy.store.jobs.gang_tables import GangMember
from academy.store.jobs.tables import Job, Worker

#: Wide jobs that are looked at for one that the live hosts could hold.
_WIDE_LIMIT = 50
#: What the workers of one job have to have in the same version.
_ALIKE = ("academy", "torch")


@dataclass(frozen=True)
class Offer:
    """What a worker brings to a claim; without GPUs of its own it is a CPU worker.

    One that does not name its host is given no job of several hosts.
    """

    host: str = ""
    own: tuple[str, ...] = ()  # UUIDs; one of them must be free for the worker to take a job
    gone: frozenset[str] = frozenset()  # devices of the host that it misses at this moment
    used: frozenset[str] = frozenset()  # those with processes that would be strangers if it is free
    lease_seconds: float = 60.0  # a worker that was silent for longer offers nothing
    wide_wait_seconds: float = 300.0


@dataclass(frozen=True)
class Grant:
    """What a claim may take: free devices in the order in which they are given out."""

    eligibility: Eligibility
    devices: tuple[str, ...] = ()
    #: The wide job to start once no job is there that goes first, and the other hosts' workers.
    wide_job_id: str | None = None
    seats: tuple[Seat, ...] = ()


def grant(
    session: Session, queue: str, worker_id: str, offer: Offer, kinds: Sequence[str]
) -> Grant | None:
    """What `offer` may claim of `kinds`; None if its slots are taken or kept for a wide job.

    Until the transaction ends, nobody else is granted a device of this host, nor gives this worker
    a part in a job; while a job of several hosts waits, that holds for all hosts.
    """
    if not offer.host:
        return Grant(Eligibility())
    waiting = _waiting_wide_jobs(session, queue, offer, kinds)
    among_hosts = any(wide.hosts > 1 for wide in waiting)
    fleet = Fleet()
    if offer.own or among_hosts:
        fleet = live_fleet(session, queue, offer.lease_seconds)
    known = fleet.hosts.get(offer.host, frozenset()) | set(offer.own)
    names = {*known, worker_id}
    if among_hosts:
        names.update(*fleet.hosts.values(), (each.worker_id for each in fleet.workers))
    _lock(session, sorted(names))
    if not offer.own and not among_hosts:
        return Grant(Eligibility())
    held = busy_workers(session)
    taken = {device for each in held for device in each.devices}
    usable = known - offer.gone - (offer.used - taken)
    own = [each for each in offer.own if each in usable - taken]
    if offer.own and not own:
        return None
    devices = (*own, *sorted(usable - taken - set(own))) if own else ()
    if own:
        fleet = replace(fleet, hosts={**fleet.hosts, offer.host: usable})
    snapshot = Snapshot(fleet, taken, {each.worker_id for each in held if each.worker_id})
    return _turns(waiting, snapshot, worker_id, offer, devices)


def _turns(
    waiting: Sequence[WideJob],
    snapshot: Snapshot,
    worker_id: str,
    offer: Offer,
    devices: tuple[str, ...],
) -> Grant:
    """Which wide job the claimer may start, and which jobs go first."""
    on_gpu = bool(offer.own)
    turn, kept, is_kept = None, frozenset[str](), False
    for wide in waiting:
        for_gpus, hosts = snapshot.kept_for(wide) if wide.is_overdue else (on_gpu, frozenset[str]())
        if hosts:
            turn, kept, is_kept = wide, hosts, for_gpus == on_gpu and offer.host in hosts
            break
    above, chosen, seats = Eligibility().above, None, None
    if turn is not None and is_kept:
        above = turn.priority
    for wide in waiting:
        has_turn = is_kept and wide is turn
        after_turn = turn is not None and wide is not turn and wide.priority <= turn.priority
        if (wide.hosts == 1 and not has_turn) or (after_turn and is_kept):
            continue  # of one host: as any other job, while it has no turn
        closed = kept if after_turn else frozenset[str]()
        seats = snapshot.gather(wide, worker_id, devices, on_gpu=on_gpu, closed=closed)
        if seats is not None:
            chosen = wide
            above = wide.priority if has_turn else wide.priority - 1
            break
    return Grant(
        Eligibility(gpus=len(devices) if on_gpu else MOST_GPUS, on_gpu=on_gpu, above=above),
        devices,
        None if chosen is None else chosen.id,
        seats or (),
    )


def seat(session: Session, job: Job, seats: Iterable[Seat], lease_seconds: float) -> None:
    """Give the workers of `seats` their parts in a job that was claimed in this transaction."""
    for place, each in enumerate(seats, start=1):
        session.execute(
            insert(GangMember).values(
                job_id=job.id,
                fence=job.fence,
                place=place,
                worker_id=each.worker_id,
                host=each.host,
                devices=list(each.devices),
                status=MemberStatus.INVITED,
                lease_expires_at=from_now(lease_seconds),
            )
        )


def gangs_wait(queue: str) -> Exists:
    """The condition that a job of several hosts waits."""
    waiting = select(Job.id).where(
        Job.queue == queue,
        Job.status == Status.QUEUED,
        or_(Job.gpus > 1, Job.hosts > 1),
        Job.hosts > 1,
    )
    return waiting.exists()


@dataclass(frozen=True)
class BusyWorker:
    """A worker that has work, a job of its own or a part in one, and the devices it holds."""

    job_id: str
    worker_id: str | None
    devices: tuple[str, ...]


def busy_workers(session: Session) -> list[BusyWorker]:
    """Everybody who has work at this moment."""
    rows = session.execute(
        union_all(
            *(
                select(job_id.label("job_id"), each.worker_id, each.devices).where(
                    each.lease_expires_at.is_not(None)
                )
                for each, job_id in ((Job, Job.id), (GangMember, GangMember.job_id))
            )
        )
    )
    return [BusyWorker(row.job_id, row.worker_id, tuple(row.devices)) for row in rows]


def holders(busy: Iterable[BusyWorker]) -> dict[str, BusyWorker]:
    """Who of those that have work holds each taken device."""
    return {device: each for each in busy for device in each.devices}


def live_fleet(
    session: Session, queue: str, lease_seconds: float, kind: str | None = None
) -> Fleet:
    """The workers of a queue that take jobs, or will once they are done with what they have.

    With `kind` only those that know that kind of job.
    """
    query = select(Worker.id, Worker.host, Worker.gpus, Worker.obstacle, Worker.versions).where(
        Worker.queue == queue,
        Worker.last_seen_at > from_now(-lease_seconds),
        Worker.stopped_at.is_(None),
        Worker.drain_requested_at.is_(None),
    )
    if kind is not None:
        query = query.where(literal(kind) == any_(Worker.kinds))
    rows = session.execute(query).all()
    hosts: dict[str, frozenset[str]] = {}
    workers = []
    for worker_id, host, gpus, obstacle, versions in rows:
        usable = frozenset(gpu["uuid"] for gpu in gpus if not gpu.get("obstacle"))
        build = tuple(versions.get(each) for each in _ALIKE)
        workers.append(WorkerSeen(worker_id, host, usable, bool(gpus), obstacle is None, build))
        if gpus:
            hosts[host] = hosts.get(host, frozenset()) | usable
    return Fleet(hosts, tuple(workers))


def why_waiting(session: Session, job: Job, lease_seconds: float) -> str | None:
    """Why no live worker can ever take a job that waits; None for one that will get its turn."""
    if job.status != Status.QUEUED:
        return None
    asked = Demand(job.queue, job.gpus, job.hosts, job.needs_gpu)
    why = why_never(asked, live_fleet(session, job.queue, lease_seconds, job.kind))
    if why is not None and why_never(asked, live_fleet(session, job.queue, lease_seconds)) is None:
        return f"No live worker that could take it knows jobs of the kind {job.kind!r}."
    return why


def why_never(job: Demand, fleet: Fleet) -> str | None:
    """Why no live workers can ever take such a job; None if some can."""
    if not fleet.hosts and not fleet.cpu_hosts:
        return f"No live worker takes jobs of the queue {job.queue!r}."
    fleets = fleet.for_hosts(job.hosts)
    on_cpus = max(len(each.cpu_hosts) for each in fleets)
    on_gpus = max(sum(job.gpus <= len(own) for own in each.hosts.values()) for each in fleets)
    if on_gpus >= job.hosts or (on_cpus >= job.hosts and not job.needs_gpu):
        return None
    if not fleet.hosts and job.needs_gpu:
        return "The recipe's device is 'cuda', and no live worker has a GPU."
    if job.hosts > 1:
        kinds = f"with as many GPUs that can be used {on_gpus} are alive"
        if not job.needs_gpu:
            kinds += f", and {on_cpus} that train on the CPU"
        return (
            f"The recipe asks for {job.hosts} hosts, each with gpus: {job.gpus}, and one version of"
            f" Academy and PyTorch; {kinds}."
        )
    host, devices = max(fleet.hosts.items(), key=lambda each: (len(each[1]), each[0]))
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


def _waiting_wide_jobs(
    session: Session, queue: str, offer: Offer, kinds: Sequence[str]
) -> list[WideJob]:
    """The wide jobs that may start: those of several hosts, and of one that waited too long."""
    overdue = Job.created_at < from_now(-offer.wide_wait_seconds)
    rows = session.execute(
        select(
            Job.id, Job.priority, Job.gpus, Job.hosts, Job.needs_gpu, overdue.label("is_overdue")
        )
        .where(
            Job.queue == queue,
            Job.status == Status.QUEUED,
            Job.kind.in_(kinds),
            or_(Job.gpus > 1, Job.hosts > 1),
            or_(Job.hosts > 1, overdue),
            Job.not_before <= now(),
        )
        .order_by(Job.priority.desc(), Job.created_at)
        .limit(_WIDE_LIMIT)
    )
    return [WideJob(*row) for row in rows]
