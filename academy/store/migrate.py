"""Bringing the schema up to date."""

from __future__ import annotations

from alembic import command
from alembic.config import Config

from academy.store.schema import (
    MIGRATIONS,
    SchemaMismatch,
    SchemaState,
    require_unused,
    revisions,
    state,
)


def upgrade(database_url: str) -> SchemaState:
    """Apply every missing migration, one migrator at a time; the state afterwards.

    Raises `SchemaMismatch` for a database that a newer version, or none of ours, has made,
    `SchemaUnknown` for one that lost its revision, and `PostgresTooOld`.
    """
    found = state(database_url)
    if found.current is not None and found.current not in revisions():
        raise SchemaMismatch(current=found.current, needed=found.needed)
    if found.current is None:
        require_unused(database_url)
    command.upgrade(config(database_url), "head")
    return state(database_url)


def config(database_url: str) -> Config:
    """What Alembic needs to know to migrate that database."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database_url"] = database_url
    return config
