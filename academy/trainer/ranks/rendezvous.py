"""Where the processes of one training meet: a file on one host, an address among several."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from academy.trainer.report import Report
from academy.trainer.spec import BadSpec, GangRef


@dataclass(frozen=True)
class Rendezvous:
    """The address to meet at, and the network interface to talk over.

    `listener` is the socket of the very first process, at which all others report; None elsewhere.
    """

    url: str
    interface: str
    listener: socket.socket | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What tells Gloo and NCCL the interface, unless an operator has told them another one."""
        return {
            "GLOO_SOCKET_IFNAME": self.interface,
            "NCCL_SOCKET_IFNAME": self.interface,
            **os.environ,
        }


@contextlib.contextmanager
def rendezvous_of(gang: GangRef | None, out: Path, report: Report) -> Iterator[Rendezvous]:
    """Where the processes of this host meet each other and those of other hosts.

    The first host listens from now on, so that others may come before its processes have started;
    where no port was named it takes a free one and reports it. Raises `BadSpec`.
    """
    if gang is None:
        # In the one folder that a confined trainer may write to. They talk over the loopback, as a
        # host name may not even resolve.
        with tempfile.TemporaryDirectory(prefix=".ranks-", dir=out.absolute()) as folder:
            yield Rendezvous(f"file://{folder}/rendezvous", "lo")
        return
    interface = _interface_of(gang.address)
    if gang.place:
        assert gang.rendezvous is not None  # or the spec would have been refused
        yield Rendezvous(f"tcp://{gang.rendezvous}", interface)
        return
    with _listening(gang) as listener:
        address = f"{gang.address}:{listener.getsockname()[1]}"
        report.rendezvous(address)
        yield Rendezvous(f"tcp://{address}", interface, listener)


def _listening(gang: GangRef) -> socket.socket:
    port = int(gang.rendezvous.rpartition(":")[2]) if gang.rendezvous else 0
    family = socket.AF_INET6 if ":" in gang.address else socket.AF_INET
    try:
        return socket.create_server((gang.address, port), family=family, backlog=1024)
    except OSError as error:
        raise BadSpec(
            detail=f"nothing can listen on {gang.address}, port {port or 'any'} ({error.strerror})"
        ) from error


def _interface_of(address: str) -> str:
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address.partition("%")[0] == address for each in addresses):
            return name
    raise BadSpec(
        detail=f"gang.address is {address}, which no network interface of this host has "
        "(ACADEMY_GANG_ADDRESS)"
    )
