"""The migrations make the tables that the code describes, no more and no less."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from academy import store
from academy.store import migrate
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
    with pytest.raises(migrate.PostgresTooOld, match=rf"needs PostgreSQL 18 .* is {shown}\.$"):
        migrate.require_server(version)
    migrate.require_server((18, 0))
