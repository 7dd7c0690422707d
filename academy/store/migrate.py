"""Bringing the schema up to date, and saying how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, pool

from academy.errors import AcademyError
from academy.store import kinds
from academy.store.engine import sqlalchemy_url

#: The major version of PostgreSQL that the statements need.
OLDEST_SERVER = 18


@dataclass(frozen=True)
class SchemaState:
    """The revision of the database (None: empty) and the one this code needs.

    `missing_kinds` are the kinds of jobs that this code declares and the database does not admit.
    """

    current: str | None
    needed: str
    missing_kinds: frozenset[str] = frozenset()

    @property
    def in_order(self) -> bool:
        return self.current == self.needed and not self.missing_kinds


class SchemaMismatch(AcademyError):
    """The database schema is at revision {current!r}, but this version needs {needed!r}."""

    code = "schema_mismatch"
    status = 503
    next_step = "Run `academy migrate` with the newest version of Academy that you deploy."


class KindsMissing(AcademyError):
    """The database does not admit jobs of the kinds {kinds} yet, which this version declares."""

    code = "kinds_missing"
    status = 503
    next_step = "Run `academy migrate` with this version."


class PostgresTooOld(AcademyError):
    """Academy needs PostgreSQL {needed} or later; the server behind the database URL is {found}."""

    code = "postgres_too_old"
    status = 503
    next_step = "Upgrade that server, or leave ACADEMY_DATABASE_URL empty for the one that \
Academy brings along."


def upgrade(database_url: str) -> SchemaState:
    """Apply every missing migration, one migrator at a time; the state afterwards."""
    state(database_url)  # refuses a server that is too old
    command.upgrade(config(database_url), "head")
    return state(database_url)


def state(database_url: str) -> SchemaState:
    """Which revision the database has, and which one this code needs."""
    engine = create_engine(
        sqlalchemy_url(database_url),
        poolclass=pool.NullPool,
        connect_args={"connect_timeout": 10},
    )
    with engine.connect() as connection:
        require_server(connection.dialect.server_version_info or ())
        current = MigrationContext.configure(connection).get_current_revision()
        missing = kinds.missing(connection) if current is not None else frozenset[str]()
    engine.dispose()
    return SchemaState(current=current, needed=needed_revision(), missing_kinds=missing)


def require_server(version: Sequence[int | str]) -> None:
    """Raise `PostgresTooOld` unless a server of this version has all that the statements use.

    RETURNING gives the row as it was before an UPDATE since PostgreSQL 18.
    """
    if not version or int(version[0]) < OLDEST_SERVER:
        raise PostgresTooOld(needed=OLDEST_SERVER, found=".".join(map(str, version)) or "unknown")


def needed_revision() -> str:
    """The revision that this code was written for."""
    return str(ScriptDirectory.from_config(config("")).get_current_head())


def require_in_order(database_url: str) -> None:
    """Raise `SchemaMismatch` or `KindsMissing` unless the schema is the one this code needs."""
    found = state(database_url)
    if found.current != found.needed:
        raise SchemaMismatch(current=found.current, needed=found.needed)
    if found.missing_kinds:
        raise KindsMissing(kinds=", ".join(sorted(found.missing_kinds)))


def config(database_url: str) -> Config:
    """What Alembic needs to know to migrate that database."""
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).resolve().parents[2] / "migrations")
    )
    config.attributes["database_url"] = database_url
    return config
