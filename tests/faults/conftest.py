"""Fixtures of the fault harness. It runs only where ``-m faults`` asks for it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from academy.embedded.postgres import EmbeddedPostgres
from tests.faults.form import LONG, Form, chosen
from tests.faults.report import Report
from tests.faults.stack import Stack
from tests.memory_folder import memory_folder
from tests.warm.python import WarmPython

HERE = Path(__file__).parent
_numbers = itertools.count(1)
_left_out = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: injects faults into real processes; minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The harness takes minutes, so ``make test`` leaves it out and ``make faults`` asks for it."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.timeout(0 if chosen().name == "long" else 240))
    if "faults" not in config.getoption("markexpr"):
        left_out = [item for item in items if HERE in item.path.parents]
        items[:] = [item for item in items if HERE not in item.path.parents]
        config.hook.pytest_deselected(items=left_out)


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.config.stash[_left_out] = True


@pytest.fixture(scope="session")
def form() -> Form:
    return chosen()


@pytest.fixture(scope="session")
def report(form: Form, repository: Path, request: pytest.FixtureRequest) -> Iterator[Report]:
    made = Report(form)
    yield made
    if os.environ.get("FAULTS_REPORT") and not request.session.testsfailed:
        made.write(repository, is_whole=_is_whole(request.session))


def _is_whole(session: pytest.Session) -> bool:
    """Whether every test of the harness was asked for."""
    files = {item.path for item in session.items}
    return files >= set(HERE.glob("test_*.py")) and not session.config.stash.get(_left_out, False)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server of the harness's own, because its faults stop it; the schema is in ``academy``."""
    from academy.embedded.postgres import embedded_postgres_url
    from academy.store.migrate import upgrade

    with memory_folder(tmp_path_factory.mktemp("postgres")) as folder:
        server = EmbeddedPostgres(folder, durable=False)
        server.start()
        upgrade(embedded_postgres_url(server.folder))
        yield server
        server.stop()


@pytest.fixture(scope="session")
def warm(form: Form, request: pytest.FixtureRequest) -> dict[str, WarmPython]:
    """By module what its processes are forked from; in the long form each starts cold."""
    if form is LONG:
        return {}
    workers = request.getfixturevalue("warm_workers")
    apis = request.getfixturevalue("warm_apis")
    return {"workers": workers, "workers.keeper": workers, "academy.api": apis}


@pytest.fixture(scope="session")
def open_stack(
    postgres: EmbeddedPostgres,
    form: Form,
    warm: dict[str, WarmPython],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Stack]:
    """Makes a stack with a database, a Valkey and a home of its own; nothing runs in it yet.

    Who opens one closes it. Arguments are settings that differ from the form's.
    """
    from academy.embedded.postgres import embedded_postgres_url

    def opened(**changed: Any) -> Stack:
        server, _, _ = embedded_postgres_url(postgres.folder).rpartition("/")
        name = f"faults_{next(_numbers)}"
        with psycopg.connect(f"{server}/postgres", autocommit=True, connect_timeout=10) as admin:
            admin.execute(f'CREATE DATABASE "{name}" TEMPLATE academy')
        folder = tmp_path_factory.mktemp("stack")
        return Stack(form, postgres, f"{server}/{name}", folder, warm, **changed)

    return opened


@pytest.fixture
def stack(open_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """A stack of this test's own."""
    made = open_stack()
    yield made
    made.close()
