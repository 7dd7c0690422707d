"""GPU slots: what a job asks for, which devices it holds; what a worker has, and why it takes nothing.

``gpus`` and ``needs_gpu`` are computed by PostgreSQL from the recipe, so no writer can forget them,
and stored, because a claim filters by them. They end jobs_claim_idx: a claim by a host with few
devices then steps over jobs that ask for more inside the index, without fetching their rows.

``devices`` names the GPUs of the attempt by UUID. A slot is taken if and only if a job with a lease
names it; there is no table of slots that could disagree. jobs_lease_idx finds those jobs.

A job on a queue that nobody works on would wait for ever, so the database refuses it.

jobs_wide_idx finds the job of several GPUs that has waited longest; it is empty where nobody asks
for more than one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # One ALTER TABLE, so that the table is rewritten once.
    op.execute("""
        ALTER TABLE jobs
            ADD COLUMN gpus integer NOT NULL GENERATED ALWAYS AS (
                coalesce((parameters ->> 'gpus')::integer, 1)
            ) STORED,
            ADD COLUMN needs_gpu boolean NOT NULL GENERATED ALWAYS AS (
                coalesce(parameters ->> 'device' = 'cuda', false)
            ) STORED,
            ADD COLUMN devices text[] NOT NULL DEFAULT '{}'
    """)
    op.drop_index('jobs_claim_idx', table_name='jobs')
    op.create_index('jobs_claim_idx', 'jobs', ['queue', sa.literal_column('priority DESC'), 'share', 'created_at', 'gpus', 'needs_gpu'], unique=False, postgresql_where=sa.text("status = 'queued'"))
    op.create_index('jobs_wide_idx', 'jobs', ['queue', sa.literal_column('priority DESC'), 'created_at'], unique=False, postgresql_where=sa.text("status = 'queued' AND gpus > 1"))
    op.create_check_constraint(op.f('jobs_queue_check'), 'jobs', "queue IN ('curation', 'gpu')")
    op.add_column('workers', sa.Column('obstacle', sa.Text(), nullable=True))
    op.add_column('workers', sa.Column('cpus', sa.Integer(), nullable=True))
    op.add_column('workers', sa.Column('memory_bytes', sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column('workers', 'memory_bytes')
    op.drop_column('workers', 'cpus')
    op.drop_column('workers', 'obstacle')
    op.drop_constraint(op.f('jobs_queue_check'), 'jobs')
    op.drop_index('jobs_wide_idx', table_name='jobs')
    op.drop_index('jobs_claim_idx', table_name='jobs')
    op.create_index('jobs_claim_idx', 'jobs', ['queue', sa.literal_column('priority DESC'), 'share', 'created_at'], unique=False, postgresql_where=sa.text("status = 'queued'"))
    op.drop_column('jobs', 'devices')
    op.drop_column('jobs', 'needs_gpu')
    op.drop_column('jobs', 'gpus')
