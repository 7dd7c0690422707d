"""The migrations make the tables that the code describes, no more and no less."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from academy import store
from academy.store import migrate, schema
from academy.store.base import Base
from academy.store.engine import sqlalchemy_url


def test_the_migrated_schema_is_that_of_the_models(database_url: str) -> None:
    for module in pkgutil.walk_packages(store.__path__, "academy.store."):
        importlib.import_module(module.name)  # tables register when they are imported
    engine = create_engine(sqlalchemy_url(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    assert differences == []


@pytest.mark.parametrize("version", [(17, 9), (16,), ()])
def test_a_server_that_is_too_old_is_refused_with_its_version(version: tuple[int, ...]) -> None:
    shown = ".".join(map(str, version)) or "unknown"
    with pytest.raises(schema.PostgresTooOld, match=rf"needs PostgreSQL 18 .* is {shown}\.$"):
        schema.require_server(version)
    schema.require_server((18, 0))


def test_the_revision_that_is_needed_is_the_last_one_that_alembic_knows() -> None:
    scripts = ScriptDirectory.from_config(migrate.config(""))
    assert scripts.get_heads() == [schema.needed_revision()]


@pytest.fixture
def read_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Has the migrations of a folder read, and the real ones again afterwards."""

    def read_again(folder: Path) -> None:
        monkeypatch.setattr(schema, "MIGRATIONS", folder)
        schema._named.cache_clear()
        schema.needed_revision.cache_clear()

    real = schema.MIGRATIONS
    yield read_again
    read_again(real)


def test_what_a_migration_says_of_itself_is_read_in_both_of_alembics_styles(
    tmp_path: Path, read_again: Callable[[Path], None]
) -> None:
    versions = tmp_path / "versions"
    versions.mkdir()
    (versions / "a.py").write_text("revision = '0001'\ndown_revision = None\n")
    second = 'revision: str = "0002"\ndown_revision: str | None = "0001"\n'
    (versions / "b.py").write_text(second)
    read_again(tmp_path)
    assert (schema.needed_revision(), schema.revisions()) == ("0002", {"0001", "0002"})
    (versions / "c.py").write_text(second.replace("0002", "0003"))
    read_again(tmp_path)
    with pytest.raises(RuntimeError, match=r"end in 2, not in one: \['0002', '0003'\]"):
        schema.needed_revision()


def test_a_database_of_a_newer_version_is_not_migrated(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(schema.SchemaMismatch, match=r"at revision '9999', but .* needs") as refused:
        migrate.upgrade(database_url)
    assert "newest version" in refused.value.next_step


def test_a_database_that_lost_its_revision_is_left_alone(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute("DELETE FROM alembic_version")
    with pytest.raises(schema.SchemaUnknown, match="does not say at which revision"):
        migrate.upgrade(database_url)


def test_the_revision_of_a_database_is_the_one_that_alembic_finds(
    database_url: str, empty_database_url: str
) -> None:
    for url, expected in ((database_url, schema.needed_revision()), (empty_database_url, None)):
        engine = create_engine(sqlalchemy_url(url))
        with engine.connect() as connection:
            assert MigrationContext.configure(connection).get_current_revision() == expected
        engine.dispose()
        assert schema.state(url).current == expected
