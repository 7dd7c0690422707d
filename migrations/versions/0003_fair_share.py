"""Weighted fair share: whom a job counts for, the weights, and the indexes of a claim.

``share`` is computed by PostgreSQL, so no writer can forget it, and stored, because an index on it
is what a claim lives on. Adding it rewrites the table once. Its collation is "C": stepping to the
next share compares it with each entry of an index page, and by bytes the whole claim took half as
long as by a language's rules (100 shares).

jobs_claim_idx gains ``share`` between priority and age. With it the highest priority, the distinct
shares at that priority (a loose index scan) and the oldest job of a share are single probes; without
it a claim would read every queued job to learn whose they are. It replaces the index of revision
0001, since nothing else orders by priority and age alone.

jobs_held_idx and jobs_started_idx answer, per share, how many jobs run and when one last started.
The first holds only what workers hold. jobs_lease_idx could answer the first question too, but
only by fetching each row, and a planner without statistics would scan the table instead.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('shares',
    sa.Column('name', sa.Text(collation='C'), nullable=False),
    sa.Column('weight', sa.Double(), nullable=False),
    sa.CheckConstraint('weight > 0 AND weight <= 1000', name=op.f('shares_weight_check')),
    sa.PrimaryKeyConstraint('name', name=op.f('shares_pkey'))
    )
    op.execute("""
        ALTER TABLE jobs ADD COLUMN share text COLLATE "C" NOT NULL GENERATED ALWAYS AS (
            CASE WHEN role IS NULL THEN 'key:' || coalesce(created_by, '') ELSE 'role:' || role END
        ) STORED
    """)
    op.drop_index('jobs_claim_idx', table_name='jobs')
    op.create_index('jobs_claim_idx', 'jobs', ['queue', sa.literal_column('priority DESC'), 'share', 'created_at'], unique=False, postgresql_where=sa.text("status = 'queued'"))
    op.create_index('jobs_held_idx', 'jobs', ['queue', 'share'], unique=False, postgresql_where=sa.text('lease_expires_at IS NOT NULL'))
    op.create_index('jobs_started_idx', 'jobs', ['queue', 'share', sa.literal_column('started_at DESC')], unique=False, postgresql_where=sa.text('started_at IS NOT NULL'))


def downgrade() -> None:
    op.drop_index('jobs_started_idx', table_name='jobs')
    op.drop_index('jobs_held_idx', table_name='jobs')
    op.drop_index('jobs_claim_idx', table_name='jobs')
    op.create_index('jobs_claim_idx', 'jobs', ['queue', sa.literal_column('priority DESC'), 'created_at'], unique=False, postgresql_where=sa.text("status = 'queued'"))
    op.drop_column('jobs', 'share')
    op.drop_table('shares')
