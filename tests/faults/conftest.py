"""Fixtures of the fault harness. It runs only where ``-m faults`` asks for it."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from academy.embedded.postgres import EmbeddedPostgres
from academy.embedded.valkey import EmbeddedValkey
from tests.faults.form import Form, chosen
from tests.faults.report import Report
from tests.faults.stack import Servers, Stack

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: injects faults into real processes; minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The harness takes minutes, so ``make test`` leaves it out and ``make faults`` asks for it."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.timeout(0 if chosen().name == "long" else 240))
    if "faults" not in config.getoption("markexpr"):
        left_out = [item for item in items if here in item.path.parents]
        items[:] = [item for item in items if here not in item.path.parents]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def form() -> Form:
    return chosen()


@pytest.fixture(scope="session")
def report(form: Form, repository: Path) -> Iterator[Report]:
    made = Report(form)
    yield made
    if made.rows and os.environ.get("FAULTS_REPORT"):
        made.write(repository)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers of the harness's own, because its faults stop them."""
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False)
    valkey = EmbeddedValkey(tmp_path_factory.mktemp("valkey"))
    postgres.start()
    valkey.start()
    yield Servers(postgres, valkey)
    valkey.stop()
    postgres.stop()


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    from academy.store.migrate import upgrade

    upgrade(_url(servers))
    return "academy"


@pytest.fixture
def stack(servers: Servers, template: str, form: Form, tmp_path: Path) -> Iterator[Stack]:
    """A migrated database, an empty Valkey and a home of this test's own; nothing runs yet."""
    from academy.embedded.valkey import embedded_valkey_url

    name = f"faults_{next(_numbers)}"
    url = _url(servers)
    with psycopg.connect(url.rpartition("/")[0] + "/postgres", autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    redis_url = embedded_valkey_url(servers.valkey.folder)
    with redis.Redis.from_url(redis_url, socket_timeout=10) as client:
        client.flushall()
    made = Stack(form, servers, url.rpartition("/")[0] + f"/{name}", redis_url, tmp_path)
    yield made
    made.close()


def _url(servers: Servers) -> str:
    from academy.embedded.postgres import embedded_postgres_url

    return embedded_postgres_url(servers.postgres.folder)
