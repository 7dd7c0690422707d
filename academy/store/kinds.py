"""Which kinds of jobs the database admits: those that some version of Academy declared.

A CHECK keeps a misspelt kind out. It is widened whenever a version that declares another kind
migrates, and never narrowed, since jobs of that kind may be there and older versions may run.
"""

from __future__ import annotations

import re

from sqlalchemy import Connection, text

from academy.lifecycle import JobKind

_NAME = "jobs_kind_check"


def missing(connection: Connection) -> frozenset[str]:
    """The kinds that this version declares and the database does not admit yet."""
    return frozenset(JobKind) - _admitted(connection)


def admit(connection: Connection) -> None:
    """Widen the CHECK where this version declares more; the caller holds the migrators' lock."""
    if not missing(connection):
        return
    every = sorted({*_admitted(connection), *JobKind})
    allowed = ", ".join(f"'{kind}'" for kind in every)
    connection.execute(
        text(
            f"ALTER TABLE jobs DROP CONSTRAINT IF EXISTS {_NAME},"
            f" ADD CONSTRAINT {_NAME} CHECK (kind IN ({allowed})) NOT VALID"
        )
    )
    # The rows there were admitted before; reading them needs no lock that stops writers.
    connection.execute(text(f"ALTER TABLE jobs VALIDATE CONSTRAINT {_NAME}"))


def _admitted(connection: Connection) -> frozenset[str]:
    definition = connection.scalar(
        text(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = to_regclass('jobs') AND conname = :name"
        ),
        {"name": _NAME},
    )
    return frozenset(re.findall(r"'([^']+)'::text", definition or ""))
