"""Bringing the schema up to date."""

from __future__ import annotations

from alembic import command
from alembic.config import Config

from academy.store.schema import MIGRATIONS, SchemaState, state


def upgrade(database_url: str) -> SchemaState:
    """Apply every missing migration, one migrator at a time; the state afterwards."""
    state(database_url)  # refuses a server that is too old
    command.upgrade(config(database_url), "head")
    return state(database_url)


def config(database_url: str) -> Config:
    """What Alembic needs to know to migrate that database."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database_url"] = database_url
    return config
