"""The log of a job that is over goes into one object of the artifact store.

A row of event_chunks then says where in the object its events lie. What is to be moved is found by
event_chunks_movable_idx: rows that have their events themselves, of an attempt with more than an end
(200 events, as ``academy/store/events/chunks.py`` has it), and are not the end that stays.

``logged`` counts the bytes of a run's lines, so that a job of many attempts has one limit for all; runs
of before count as nothing.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "log_objects",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column(
            "moved_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("log_objects_job_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("log_objects_pkey")),
    )
    op.create_index("log_objects_key_idx", "log_objects", ["key"])
    op.alter_column("event_chunks", "data", existing_type=sa.LargeBinary(), nullable=True)
    op.add_column("event_chunks", sa.Column("start", sa.BigInteger(), nullable=True))
    op.add_column("event_chunks", sa.Column("size", sa.Integer(), nullable=True))
    op.add_column(
        "event_chunks",
        sa.Column("logged", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "event_chunks",
        sa.Column("stays", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.create_check_constraint(
        op.f("event_chunks_place_check"),
        "event_chunks",
        "num_nulls(data, start, size) IN (1, 2) AND (start IS NULL) = (size IS NULL)",
    )
    op.create_index(
        "event_chunks_movable_idx",
        "event_chunks",
        ["job_id"],
        postgresql_where=sa.text("data IS NOT NULL AND NOT stays AND last_seq > 200"),
    )
