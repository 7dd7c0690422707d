"""Connecting to PostgreSQL, with a time-out on everything that waits."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from academy.errors import BadSetting
from academy.settings import Settings

__all__ = ["Session", "Sessions", "StoreError", "make_engine", "make_sessions", "sqlalchemy_url"]

Sessions = sessionmaker[Session]
#: What every failure of the database is: away, too slow, or refusing.
StoreError = SQLAlchemyError


def make_sessions(settings: Settings, *, pool_size: int = 10) -> Sessions:
    """A session factory for one process; rows stay readable after the commit."""
    return sessionmaker(make_engine(settings, pool_size=pool_size), expire_on_commit=False)


def make_engine(settings: Settings, *, pool_size: int = 10) -> Engine:
    """An engine whose connects, statements and lock waits all end.

    Raises `BadSetting` if the URL is not one of PostgreSQL.
    """
    timeout = settings.postgres_timeout_seconds
    return create_engine(
        sqlalchemy_url(settings.database_url),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=timeout,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={
            "connect_timeout": max(2, int(timeout)),
            # A host that vanishes without a word is noticed by the kernel, not after hours.
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": int(timeout * 1000),
            "options": "-c statement_timeout=30s -c lock_timeout=10s"
            " -c idle_in_transaction_session_timeout=60s -c timezone=UTC",
            "application_name": "academy",
        },
    )


def sqlalchemy_url(url: str) -> str:
    """The URL in SQLAlchemy's spelling, which names the psycopg driver."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        shown = f"{scheme}://…" if separator else url
        raise BadSetting(
            name="ACADEMY_DATABASE_URL", value=shown, allowed="a postgresql:// address"
        )
    return f"postgresql+psycopg://{rest}"
