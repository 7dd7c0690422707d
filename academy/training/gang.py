"""The other hosts of a training, as the worker that leads it sees them."""

from __future__ import annotations

import ipaddress
import logging
import socket
import time
from typing import Any

from academy.errors import BadSetting
from academy.jobs.attempt import Attempt, GivenBack, JobFailed, StoppedOnRequest
from academy.jobs.lease import Stop
from academy.lifecycle import FailureCode, MemberStatus
from academy.settings import Settings
from academy.store.engine import StoreError, servers
from academy.store.jobs import gangs
from academy.store.jobs.gangs import Member
from academy.store.jobs.transitions import Failure

log = logging.getLogger(__name__)

#: How long the leader waits for the host that knows why its trainer lost the others.
_CAUSE_SECONDS = 5.0
_POLL_SECONDS = 0.1


class Gang:
    """The workers of other hosts that have a part in an attempt. Of one host there are none."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._others = attempt.job.hosts - 1
        self._members: list[Member] = []
        #: Workers that had taken their part up; one that is silent before never began.
        self._began: set[str] = set()
        self._look_at = 0.0
        #: Since when Postgres has answered; members may have renewed their leases only then.
        self._steady_since: float | None = None

    def place(self) -> dict[str, Any]:
        """What the spec of the first host's trainer says of the gang; {} for one host."""
        if not self._others:
            return {}
        return {"gang": {"place": 0, "address": own_address(self._attempt.settings)}}

    def wait_until_ready(self) -> None:
        """Until every member has its files.

        Raises `JobFailed` for one that cannot take part or takes longer than ``gang_seconds``,
        `GivenBack` for one that does not begin, and `StoppedOnRequest` for one that has to leave,
        or when the leader is asked to stop.
        """
        if not self._others:
            return
        seconds = self._attempt.settings.gang.seconds
        deadline = time.monotonic() + seconds
        while True:
            self._attempt.check()
            if self.wanted is not None:
                raise StoppedOnRequest
            missing = [each for each in self._members if each.status == MemberStatus.INVITED]
            if len(self._members) == self._others and not missing:
                hosts = ", ".join(each.host for each in self._members)
                said = f"Training together with the hosts {hosts}."
                self._attempt.events.emit("log", level="info", message=said)
                return
            if time.monotonic() > deadline:
                hosts = ", ".join(each.host for each in missing)
                raise JobFailed(_lost(f"{hosts} had no files after {seconds:g} seconds"))
            time.sleep(_POLL_SECONDS)

    def tell(self, rendezvous: str, resume_from: dict[str, Any] | None) -> None:
        """Tell the members where the trainers meet, and the checkpoint that they go on from."""
        told = {"rendezvous": rendezvous, "resume_from": resume_from}
        self._attempt.record(lambda session: gangs.tell(session, self._attempt.claim, told))

    @property
    def wanted(self) -> Stop | None:
        """`Stop.DRAIN` if a member has to leave; all then stop after a checkpoint.

        Raises `JobFailed` if a member failed, or was not heard of in time; `GivenBack` if one was
        never heard of.
        """
        if not self._others:
            return None
        if time.monotonic() >= self._look_at:
            self._look()
        for each in self._members:
            if each.status == MemberStatus.FAILED:
                # It may have failed only because another one did, which is about to say so.
                raise JobFailed(self.cause_of(_failure_of(each)))
        self._require_all()
        gone = {MemberStatus.LEAVING, MemberStatus.LEFT}
        if any(each.status in gone or each.is_elsewhere for each in self._members):
            return Stop.DRAIN
        return None

    def cause_of(self, failure: Failure) -> Failure:
        """The failure of the member that `failure`, the loss of other hosts, comes from."""
        deadline = time.monotonic() + _CAUSE_SECONDS
        while failure.code == FailureCode.WORKER_LOST and time.monotonic() < deadline:
            self._look()
            found = [_failure_of(each) for each in self._members if each.failure is not None]
            for each in found:
                if each.code != FailureCode.WORKER_LOST:
                    return each
            time.sleep(_POLL_SECONDS)
        return failure

    def _look(self) -> None:
        settings = self._attempt.settings
        try:
            with self._attempt.sessions() as session:
                self._members = gangs.members(session, self._attempt.claim)
        except StoreError as error:
            self._steady_since = None
            # Each such look took a whole time-out, in which the trainer's words were not heard.
            self._look_at = time.monotonic() + settings.jobs.heartbeat_seconds
            log.warning(
                "the other hosts cannot be seen now: %s",
                type(error).__name__,
                extra={"job_id": self._attempt.job.id},
            )
            return
        now = time.monotonic()
        self._look_at = now + settings.jobs.look_seconds
        self._steady_since = self._steady_since if self._steady_since is not None else now
        self._began |= {
            each.worker_id for each in self._members if each.status != MemberStatus.INVITED
        }

    def _require_all(self) -> None:
        """Raise for a member that is silent, or that a keeper has taken the part away from."""
        if self._steady_since is None:
            return
        steady = time.monotonic() - self._steady_since
        is_known = steady > 2 * self._attempt.settings.jobs.heartbeat_seconds
        heard = {each.worker_id for each in self._members if not (is_known and each.is_silent)}
        if len(heard) == self._others:
            return
        silent = {each.worker_id for each in self._members} - heard
        lost = ", ".join(sorted(silent | self._began - heard)) or "a worker of another host"
        failure = _lost(f"{lost} was not heard of in time")
        raise JobFailed(failure) if self._began - heard else GivenBack(failure)


def own_address(settings: Settings) -> str:
    """The address at which other hosts reach this one's trainers.

    It is ``gang_address``, or else that from which this host talks to PostgreSQL. Raises
    `BadSetting` for one that is no address, and if there is none.
    """
    wanted = settings.gang.address
    if wanted:
        try:
            return str(ipaddress.ip_address(wanted))
        except ValueError:
            name = "ACADEMY_GANG_ADDRESS"
            raise BadSetting(name=name, value=wanted, allowed="an IP address") from None
    places = servers(settings.postgres.url) or [("127.0.0.1", 5432)]
    refused = ""
    for host, port in places:
        try:
            return _way_to(host, port)
        except OSError as error:
            refused = f"{host}: {error.strerror or error}"
    raise BadSetting(
        name="ACADEMY_GANG_ADDRESS",
        value=wanted,
        allowed=f"an IP address of this host, as no way to PostgreSQL was found ({refused})",
    )


def _way_to(host: str, port: int) -> str:
    """The address from which this host talks to another one; `OSError` if it cannot."""
    last = OSError(f"{host} has no address")
    for family, _, _, _, target in socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(target)  # sends nothing; the kernel picks the way
                return str(probe.getsockname()[0])
        except OSError as error:
            last = error
    raise last


def _failure_of(member: Member) -> Failure:
    known = member.failure or {}
    return Failure(
        FailureCode(known.get("code", FailureCode.WORKER_LOST)),
        f"On the host {member.host}: {known.get('message') or 'it did not say why.'}",
        str(known.get("next_step") or ""),
    )


def _lost(why: str) -> Failure:
    return Failure(
        FailureCode.WORKER_LOST,
        f"The hosts of this training lost each other: {why}.",
        "Look into that worker's log; the job goes on from its last checkpoint when enough hosts "
        "are free.",
    )
