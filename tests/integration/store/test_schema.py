"""The migrations make the tables that the code describes, no more and no less."""

from __future__ import annotations

import importlib
import pkgutil

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from academy import store
from academy.store.base import Base
from academy.store.engine import sqlalchemy_url


def test_the_migrated_schema_is_that_of_the_models(database_url: str) -> None:
    for module in pkgutil.iter_modules(store.__path__):  # tables register when they are imported
        importlib.import_module(f"academy.store.{module.name}")
    engine = create_engine(sqlalchemy_url(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()
    assert differences == []
