"""How the tests are dealt out to the processes of `make test` (pytest-xdist's ``loadgroup``).

The tests of one file stay together, in one process and in their order, so that what they share is
made once. What is dear to make stays together across files: a Docker engine, a whole stack, a model
server. The longest groups come first, so that the end is shared out in small pieces.

Every process has a PostgreSQL, a Valkey, ports and temporary folders of its own. A test that
measures how long something takes is marked ``timing``: it runs afterwards, alone.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

#: A fixture that is dear to make, and the group of the tests that ask for it.
DEAR = {
    ("integration/launchers", "engine"): "docker",
    ("acceptance", "stack"): "acceptance",
    ("integration/runtime", "server"): "runtime",
}

#: The longest first; the others follow in the order of their names.
LONGEST = (
    "acceptance",
    "docker",
    "acceptance/test_up",
    "runtime",
    "integration/trainer/test_stopping",
    "integration/trainer/test_local_ranks",
    "integration/trainer/test_memory_fit",
    "integration/trainer/test_gang",
    "integration/workers/test_gang_training",
    "integration/workers/test_gangs",
    "integration/trainer/test_refusals",
    "integration/trainer/test_training",
    "integration/trainer/test_preferences",
    "integration/workers/test_going_on",
    "integration/api/test_live",
    "integration/api/test_adapters",
    "integration/api/test_preflight",
    "integration/launchers/test_native",
    "integration/embedded/test_postgres",
    "integration/workers/test_gang_losses",
)


def in_a_process_of_many() -> bool:
    """Whether other processes of this run execute tests at the same time."""
    return "PYTEST_XDIST_WORKER" in os.environ


def arrange(items: list[pytest.Item]) -> None:
    """Name each test's group, and put the longest groups first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    items.sort(key=lambda item: _rank(group_of(item)))


def group_of(item: pytest.Item) -> str:
    """The group of a test: that of a dear fixture, else its file."""
    place = item.path.relative_to(TESTS).as_posix()
    fixtures = getattr(item, "fixturenames", ())
    for (folder, fixture), group in DEAR.items():
        if place.startswith(f"{folder}/") and fixture in fixtures:
            return group
    return place.removesuffix(".py")


def _rank(group: str) -> int:
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)
