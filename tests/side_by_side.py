"""How the tests are dealt out to the processes of `make test` (pytest-xdist).

The tests of one file stay together, in one process and in their order, so that what they share is
made once. What is dear to make stays together across files: a Docker engine, a whole stack, a model
server, a process that imported torch. The longest groups come first, so that the end is shared out
in small pieces.

Every process has a PostgreSQL, a Valkey, ports and temporary folders of its own. A test that
measures how long something takes is marked ``timing``: it runs afterwards, alone.
"""

from __future__ import annotations

import os

import pytest
from xdist.scheduler import LoadScopeScheduling

#: Files and folders whose tests share what is dear to make, and the name of their group.
DEAR = {
    "integration/launchers/test_confinement": "docker",
    "integration/launchers/test_docker_training": "docker",
    "integration/launchers/test_doctor": "docker",
    "integration/launchers/test_orphans": "docker",
    "acceptance/test_sweep": "acceptance",
    "acceptance/test_whole_way": "acceptance",
    "integration/api/test_adapters": "runtime",
    "integration/runtime": "runtime",
    "integration/trainer": "torch",
    "unit/basemodels/test_tokenizer": "torch",
    "unit/runtime": "torch",
    "unit/trainer": "torch",
}

#: The longest first; the others follow in the order of their names.
LONGEST = (
    "torch",
    "acceptance",
    "docker",
    "acceptance/test_up",
    "runtime",
    "integration/workers/test_gang_training",
    "integration/workers/test_gangs",
    "integration/workers/test_going_on",
    "integration/api/test_live",
    "integration/api/test_preflight",
    "integration/launchers/test_native",
    "integration/embedded/test_postgres",
    "integration/workers/test_gang_losses",
)


def in_a_process_of_many() -> bool:
    """Whether other processes of this run execute tests at the same time."""
    return "PYTEST_XDIST_WORKER" in os.environ


class Groups(LoadScopeScheduling):
    """Gives a process a whole group at a time.

    pytest-xdist's marks for this do nothing with pytest 9.2: they put the group's name into an
    identifier that pytest asks for no more.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def longest_first(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _rank(group_of(item.nodeid)))


def group_of(nodeid: str) -> str:
    """The group of a test: the dear one of its file or folder, or its file."""
    file = nodeid.partition("::")[0].removeprefix("tests/").removesuffix(".py")
    return DEAR.get(file) or DEAR.get(file.rpartition("/")[0]) or file


def _rank(group: str) -> int:
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)
