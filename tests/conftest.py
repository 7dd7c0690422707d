"""Real servers for the tests: one PostgreSQL and one Valkey for each process of a test run.

A test asks for `database_url` (a migrated database of its own), `valkey_url` (an empty Valkey),
`postgres_url` (the bare server) or `free_port`. Several processes may run tests side by side
(`make test`); `tests/side_by_side.py` says which stay together.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import certifi
import hypothesis
import psycopg
import pytest
import redis

from academy.embedded.postgres import EmbeddedPostgres
from academy.embedded.valkey import EmbeddedValkey
from academy.host.quick_imports import quick_imports
from tests.memory_folder import memory_folder
from tests.ports import next_port
from tests.side_by_side import Groups, in_a_process_of_many, longest_first
from tests.warm.python import APIS, COMMANDS, TRAINERS, WORKERS, WarmPython

# Celery's configuration wants the broker's address when it is first imported. Each test names its
# own broker; this one only lets the import through, and must not reach the environment of the
# processes that tests start.
with patch.dict(os.environ, {"ACADEMY_REDIS_URL": "redis://127.0.0.1:1/0"}):
    import celeryconfig  # noqa: F401  # imported for its effect

if in_a_process_of_many():
    # Two threads of torch are no faster on tiny models, and wait for each other on a busy core.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # hypothesis gives each example 200 ms by the clock, which stands for nothing on a shared core.
    hypothesis.settings.register_profile(
        "side by side",
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("side by side")


def _one_certificate() -> str:
    """The path of a file with one authority's certificate; made once for each checkout."""
    made = Path(__file__).parents[1] / ".cache" / "tests" / "one-certificate.pem"
    if not made.exists():
        first, end, _ = certifi.contents().partition("-----END CERTIFICATE-----")
        made.parent.mkdir(parents=True, exist_ok=True)
        partial = made.with_name(f"{made.name}.{os.getpid()}")
        partial.write_text(first + end + "\n")
        partial.replace(made)
    return str(made)


# httpx reads a hundred and more of them whenever a client is made, which takes up to 40 ms. No test
# speaks to a stranger.
os.environ["SSL_CERT_FILE"] = _one_certificate()

_numbers = itertools.count(1)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    return Groups(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[object]:
    """Collecting the tests imports nearly everything that there is."""
    with quick_imports():
        return (yield)


@pytest.hookimpl(tryfirst=True)  # a random order, where one is asked for, comes after
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    longest_first(items)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the run's PostgreSQL; its database ``academy`` is empty."""
    with memory_folder(tmp_path_factory.mktemp("postgres")) as folder:
        server = EmbeddedPostgres(folder, durable=False)
        yield server.start()
        server.stop()


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """The name of a migrated database that `database_url` is copied from."""
    from academy.store.migrate import upgrade  # tests without a database need no SQLAlchemy

    name = "academy_template"
    _on_server(postgres_url, f'CREATE DATABASE "{name}"')
    upgrade(_of_database(postgres_url, name))
    return name


@pytest.fixture
def database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """The URL of a migrated database that only this test uses."""
    name = f"test_{next(_numbers)}"
    # Copying files costs two thirds of what writing them through the log does.
    copied = f'TEMPLATE "{template_database}" STRATEGY file_copy'
    _on_server(postgres_url, f'CREATE DATABASE "{name}" {copied}')
    yield _of_database(postgres_url, name)
    _on_server(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """The URL of a database of this test's own with nothing in it."""
    name = f"empty_{next(_numbers)}"
    _on_server(postgres_url, f'CREATE DATABASE "{name}"')
    yield _of_database(postgres_url, name)
    _on_server(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the run's Valkey, with whatever earlier tests left in it."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"), durable=False)
    yield server.start()
    server.stop()


@pytest.fixture
def valkey_url(valkey_server: str) -> str:
    """The URL of an empty Valkey."""
    with redis.Redis.from_url(valkey_server, socket_timeout=10) as client:
        client.flushall()
    return valkey_server


@pytest.fixture(scope="session")
def warm_trainers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    """A Python that has imported what trainers and model servers do."""
    with WarmPython(tmp_path_factory.mktemp("warm-trainers"), TRAINERS) as made:
        yield made


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory, warm_trainers: WarmPython) -> Path:
    """The folder of a tiny base model, to be named or copied; nothing writes into it."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    made = warm_trainers.run("academy.trainer.tiny", str(folder), env=os.environ)
    assert made.returncode == 0, made.stderr
    return folder


@pytest.fixture(scope="session")
def warm_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    """A Python that has imported what workers and keepers do."""
    with WarmPython(tmp_path_factory.mktemp("warm-workers"), WORKERS) as made:
        yield made


@pytest.fixture(scope="session")
def warm_apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    """A Python that has imported what the API does."""
    with WarmPython(tmp_path_factory.mktemp("warm-apis"), APIS) as made:
        yield made


@pytest.fixture(scope="session")
def warm_commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    """A Python that has imported what the command `academy` does."""
    with WarmPython(tmp_path_factory.mktemp("warm-commands"), COMMANDS) as made:
        yield made


@pytest.fixture
def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on and that no other test gets."""
    return next_port()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of this checkout."""
    return Path(__file__).resolve().parents[1]


def _of_database(url: str, name: str) -> str:
    return url.rpartition("/")[0] + f"/{name}"


def _on_server(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(statement)
