"""The kinds of jobs that each worker knows.

Versions may differ while hosts are updated one by one. A claim leaves jobs of kinds that its worker
does not know to others, and a job that waits tells when no live worker knows its kind. Which kinds
a job may be of is kept in step by ``academy migrate`` itself (`academy.store.kinds`), so another
kind needs no migration.

For the same reason the CHECK goes that let trainings alone be scheduled ``only_if_new``: which kinds
can tell is declared with them (`nothing_new`), and read from there when a schedule is kept.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "workers",
        sa.Column(
            "kinds", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
    )
    op.drop_constraint(op.f("schedules_only_if_new_check"), "schedules")
