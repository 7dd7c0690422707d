"""How far the schema of a database is, and whether this code can work with it.

Every process asks at its start, so nothing here needs Alembic, which takes a tenth as long to
import as all the rest of an API.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, pool, text

from academy.errors import AcademyError
from academy.store import kinds
from academy.store.engine import sqlalchemy_url

#: Where the migrations are, each a file that names itself and the one before it.
MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
#: The major version of PostgreSQL that the statements need.
OLDEST_SERVER = 18

_NAMED = re.compile(r"^(revision|down_revision)(?::[^=]*)? = ['\"](\w+)['\"]$", re.MULTILINE)


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


class SchemaUnknown(AcademyError):
    """The database has a table 'jobs', but does not say at which revision its schema is."""

    code = "schema_unknown"
    status = 503
    next_step = "Give Academy a database of its own. If this is one, write the revision that it \
was at into its table alembic_version."


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


def state(database_url: str) -> SchemaState:
    """Which revision the database has, and which one this code needs."""
    engine = _engine(database_url)
    with engine.connect() as connection:
        require_server(connection.dialect.server_version_info or ())
        current = _current_revision(connection)
        missing = kinds.missing(connection) if current is not None else frozenset[str]()
    engine.dispose()
    return SchemaState(current=current, needed=needed_revision(), missing_kinds=missing)


def require_server(version: Sequence[int | str]) -> None:
    """Raise `PostgresTooOld` unless a server of this version has all that the statements use.

    RETURNING gives the row as it was before an UPDATE since PostgreSQL 18.
    """
    if not version or int(version[0]) < OLDEST_SERVER:
        raise PostgresTooOld(needed=OLDEST_SERVER, found=".".join(map(str, version)) or "unknown")


@cache
def needed_revision() -> str:
    """The revision that this code was written for: the one migration that none comes after."""
    last = revisions() - {name for role, name in _named() if role == "down_revision"}
    if len(last) != 1:
        raise RuntimeError(f"the migrations end in {len(last)}, not in one: {sorted(last)}")
    return last.pop()


def revisions() -> set[str]:
    """Every revision that this code knows."""
    return {name for role, name in _named() if role == "revision"}


@cache
def _named() -> tuple[tuple[str, str], ...]:
    """What the migrations say of themselves: each its revision and the one before it."""
    files = (MIGRATIONS / "versions").glob("*.py")
    return tuple(
        (role, name)
        for each in files
        for role, name in _NAMED.findall(each.read_text(encoding="utf-8"))
    )


def require_unused(database_url: str) -> None:
    """Raise `SchemaUnknown` for a database without a revision that has tables nonetheless."""
    engine = _engine(database_url)
    with engine.connect() as connection:
        has_jobs = connection.scalar(text("SELECT to_regclass('jobs')")) is not None
    engine.dispose()
    if has_jobs:
        raise SchemaUnknown


def require_in_order(database_url: str) -> None:
    """Raise `SchemaMismatch` or `KindsMissing` unless the schema is the one this code needs."""
    found = state(database_url)
    if found.current != found.needed:
        raise SchemaMismatch(current=found.current, needed=found.needed)
    if found.missing_kinds:
        raise KindsMissing(kinds=", ".join(sorted(found.missing_kinds)))


def _engine(database_url: str) -> Engine:
    return create_engine(
        sqlalchemy_url(database_url),
        poolclass=pool.NullPool,
        connect_args={"connect_timeout": 10},
    )


def _current_revision(connection: Connection) -> str | None:
    """What Alembic wrote down; None where no migration ever ran."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found
