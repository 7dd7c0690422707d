"""The changes, and up to where they were removed. Migrations make these tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Dialect, Identity, PrimaryKeyConstraint, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import UserDefinedType

from academy.store.base import Base


class Xid8(UserDefinedType[int]):
    """PostgreSQL's number of a transaction that never comes again (``xid8``), as an int."""

    cache_ok = True
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"

    def bind_processor(self, dialect: Dialect) -> Callable[[int | None], str | None]:
        return lambda value: None if value is None else str(value)

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[str | None], int | None]:
        return lambda value: None if value is None else int(value)


#: So that a migrated schema can be compared with these tables.
ischema_names["xid8"] = Xid8


class Change(Base):
    """One thing that became different, written in the transaction that changed it.

    Read in the order of (`xid`, `id`), and only where every transaction with a smaller `xid` is
    over, no row appears before one that was read: see `academy.store.changes.changes`.
    """

    __tablename__ = "changes"
    __table_args__ = (PrimaryKeyConstraint("xid", "id"),)

    #: The transaction that made the change.
    xid: Mapped[int] = mapped_column(Xid8, server_default=text("pg_current_xact_id()"))
    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
    #: What happened, such as ``job.succeeded``.
    type: Mapped[str]
    #: The id of what changed; of an alias its name.
    subject: Mapped[str]
    #: What a client wants to know without asking; null values are left out.
    data: Mapped[dict[str, Any]]

    @property
    def cursor(self) -> str:
        """Where a reader stands who has read this row: ``xid-id``."""
        return f"{self.xid}-{self.id}"


class RemovedChanges(Base):
    """The one row that says up to where changes were removed."""

    __tablename__ = "removed_changes"
    __table_args__ = (CheckConstraint("one", "one"),)

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    xid: Mapped[int] = mapped_column(Xid8)
    id: Mapped[int] = mapped_column(BigInteger)
