"""Alembic's entry: one migrator at a time, and no wait without an end."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from academy.store import kinds
from academy.store.base import Base
from academy.store.changes import restored
from academy.store.engine import sqlalchemy_url

#: Any constant will do; it only has to be the same for every migrator of this schema.
ADVISORY_LOCK = 0x41434144


def run() -> None:
    url = context.config.attributes["database_url"]
    engine = create_engine(
        sqlalchemy_url(url),
        poolclass=pool.NullPool,
        connect_args={"connect_timeout": 10, "options": "-c timezone=UTC"},
    )
    with engine.connect() as connection:
        # A second migrator waits here, then finds nothing left to do.
        connection.execute(text("SET lock_timeout = '120s'"))
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": ADVISORY_LOCK})
        connection.execute(text("SET lock_timeout = '10s'"))
        connection.execute(text("SET statement_timeout = '300s'"))
        connection.commit()
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            context.run_migrations()
            kinds.admit(connection)
            restored.settle_in(connection)
    engine.dispose()


run()
