"""What the tables are made of."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    DateTime,
    Double,
    Interval,
    MetaData,
    Text,
    cast,
    column,
    literal_column,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql import func
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import ScalarSelect


class Base(DeclarativeBase):
    """All tables of Academy."""

    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        list[Any]: JSONB(none_as_null=True),
    }


def now() -> ColumnElement[datetime]:
    """PostgreSQL's clock, the only one that leases and ages are measured by."""
    return func.clock_timestamp(type_=DateTime(timezone=True))


def from_now(seconds: float | ColumnElement[Any]) -> ColumnElement[datetime]:
    """A moment by PostgreSQL's clock, `seconds` after now (or before, if negative)."""
    return now() + cast(seconds, Double) * literal_column("interval '1 second'", Interval)


def schema_revision() -> ScalarSelect[str]:
    """The revision that the schema is at, as Alembic keeps it; null in an empty table."""
    return select(
        table("alembic_version", column("version_num", Text)).c.version_num
    ).scalar_subquery()
