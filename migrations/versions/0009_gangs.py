"""Trainings on several hosts: what a job asks for, and the workers of other hosts that take part.

``hosts`` is computed by PostgreSQL from the recipe, as ``gpus`` is. A claim never takes a job of
several hosts by itself: jobs_claim_idx leaves them out, so that however many wait they cost the
others nothing. They stand in jobs_wide_idx with the jobs of several GPUs, which take turns with
them.

A row of ``gang_members`` is a worker's part in one attempt at a job of another worker. Its devices
are taken while it has a lease, as a job's are. The rows are as few as there are busy workers: the
index finds a worker's own one, and the primary key those of an attempt.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_CLAIM = ["queue", sa.literal_column("priority DESC"), "share", "created_at", "gpus", "needs_gpu"]
_WIDE = ["queue", sa.literal_column("priority DESC"), "created_at"]


def upgrade() -> None:
    op.execute("""
        ALTER TABLE jobs
            ADD COLUMN hosts integer NOT NULL GENERATED ALWAYS AS (
                coalesce((parameters ->> 'hosts')::integer, 1)
            ) STORED
    """)
    op.drop_index("jobs_claim_idx", table_name="jobs")
    op.create_index(
        "jobs_claim_idx",
        "jobs",
        _CLAIM,
        unique=False,
        postgresql_where=sa.text("status = 'queued' AND hosts = 1"),
    )
    op.drop_index("jobs_wide_idx", table_name="jobs")
    op.create_index(
        "jobs_wide_idx",
        "jobs",
        _WIDE,
        unique=False,
        postgresql_where=sa.text("status = 'queued' AND (gpus > 1 OR hosts > 1)"),
    )
    op.create_table(
        "gang_members",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column(
            "devices", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("failure", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.CheckConstraint(
            "status IN ('done', 'failed', 'invited', 'leaving', 'left', 'ready')",
            name=op.f("gang_members_status_check"),
        ),
        sa.CheckConstraint(
            "(status IN ('invited', 'leaving', 'ready')) = (lease_expires_at IS NOT NULL)",
            name=op.f("gang_members_lease_check"),
        ),
        sa.CheckConstraint(
            "(status = 'failed') = (failure IS NOT NULL)", name=op.f("gang_members_failure_check")
        ),
        sa.CheckConstraint("place > 0", name=op.f("gang_members_place_check")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("gang_members_job_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "fence", "place", name=op.f("gang_members_pkey")),
    )
    # One part at a time: a worker that has one takes no job and no other part.
    op.create_index(
        "gang_members_worker_key",
        "gang_members",
        ["worker_id"],
        unique=True,
        postgresql_where=sa.text("lease_expires_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("gang_members")
    op.drop_index("jobs_wide_idx", table_name="jobs")
    op.create_index(
        "jobs_wide_idx",
        "jobs",
        _WIDE,
        unique=False,
        postgresql_where=sa.text("status = 'queued' AND gpus > 1"),
    )
    op.drop_index("jobs_claim_idx", table_name="jobs")
    op.create_index(
        "jobs_claim_idx",
        "jobs",
        _CLAIM,
        unique=False,
        postgresql_where=sa.text("status = 'queued'"),
    )
    op.drop_column("jobs", "hosts")
