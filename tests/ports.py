"""Ports for the servers of tests: each process of a run has some of its own, and gives each once.

They lie below those that Academy chooses for itself and those of outgoing connections, so that
nobody takes one between the moment it is given and the moment its server listens.
"""

from __future__ import annotations

import itertools
import os

from academy.embedded.program import port_is_free

_FIRST = 10_000
_OF_A_PROCESS = 600

# pytest-xdist names its processes gw0, gw1 and so on; the one that runs alone has no name.
_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
# Two runs on one machine begin at different places.
_begin = os.getppid() * 37
_numbers = itertools.count()


def next_port() -> int:
    """A port on 127.0.0.1 that nobody listens on and that no other test gets."""
    for _ in range(_OF_A_PROCESS):
        number = (_begin + next(_numbers)) % _OF_A_PROCESS
        port = _FIRST + _process * _OF_A_PROCESS + number
        if port_is_free(port):
            return port
    raise RuntimeError(f"every port of process {_process} of this run is taken")
