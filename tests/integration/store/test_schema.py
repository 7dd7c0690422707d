"""The migrations make the tables that the code describes, no more and no less."""

from __future__ import annotations

import importlib
import pkgutil

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


def test_the_revision_of_a_database_is_the_one_that_alembic_finds(
    database_url: str, empty_database_url: str
) -> None:
    for url, expected in ((database_url, schema.needed_revision()), (empty_database_url, None)):
        engine = create_engine(sqlalchemy_url(url))
        with engine.connect() as connection:
            assert MigrationContext.configure(connection).get_current_revision() == expected
        engine.dispose()
        assert schema.state(url).current == expected
