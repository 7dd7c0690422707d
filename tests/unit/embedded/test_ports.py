"""A server keeps its port over restarts, whatever else the machine does meanwhile."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from academy.embedded.program import LOOPBACK, choose_port, free_port

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_chosen_port_is_none_that_an_outgoing_connection_may_get() -> None:
    first, last = map(int, OUTGOING.read_text().split())
    assert not any(first <= free_port() <= last for _ in range(50))


def test_the_kept_port_is_waited_for_while_its_last_server_is_ending(tmp_path: Path) -> None:
    ending = socket.create_server((LOOPBACK, free_port()))
    port = ending.getsockname()[1]
    (tmp_path / "port").write_text(f"{port}\n")
    with ending:
        threading.Timer(0.2, ending.close).start()
        assert choose_port(tmp_path, None, "Valkey") == port
