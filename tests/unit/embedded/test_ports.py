"""A server keeps its port over restarts, whatever else the machine does meanwhile."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from academy.embedded.program import LOOPBACK, choose_port, free_port, port_is_free, require_own
from academy.embedded.stack import Stack
from academy.errors import BadSetting
from academy.settings import Settings

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


@pytest.mark.parametrize("host", ["256.1.1.1", " ", "a" * 70, "192.0.2.1", "name.invalid"])
def test_an_address_that_is_none_of_this_machine_is_refused_before_anything_is_made(
    host: str, tmp_path: Path
) -> None:
    settings = Settings().changed(home=tmp_path / "home", host=host, port=0)
    with pytest.raises(BadSetting, match=r"ACADEMY_HOST is .*an address of this machine"):
        Stack(settings, print).run(print)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", ""])
def test_an_address_of_this_machine_is_taken(host: str) -> None:
    require_own(host)
    assert free_port(host)


def test_a_port_is_also_looked_for_at_an_ipv6_address() -> None:
    if not Path("/proc/net/if_inet6").exists() or not Path("/proc/net/if_inet6").read_text():
        pytest.skip("this machine has no IPv6")
    require_own("::1")
    with socket.create_server(("::1", free_port("::1")), family=socket.AF_INET6) as server:
        assert not port_is_free(server.getsockname()[1], "::1")
