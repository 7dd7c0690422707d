"""Scored runs, and the sides of the split.

runs_created_at_idx serves both the listing and curation's keyset pages (newest first, by id within
one moment). Signals are one JSONB document, so that adding some is one UPDATE that merges, and two
writers at once lose nothing.

split_sides remembers for ever on which side of the split a group lies. Its key is the 64-bit hash
that curation computes, stored as a signed number. Nothing but the key is ever looked up.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('runs',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('messages', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('reward', sa.Double(), nullable=True),
    sa.Column('signals', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('source', sa.Text(), nullable=True),
    sa.Column('task_id', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint('reward >= 0 AND reward <= 1', name=op.f('runs_reward_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('runs_pkey'))
    )
    op.create_index('runs_created_at_idx', 'runs', ['created_at', 'id'], unique=False)
    op.create_table('split_sides',
    sa.Column('key', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('held_out', sa.Boolean(), nullable=False),
    sa.PrimaryKeyConstraint('key', name=op.f('split_sides_pkey'))
    )


def downgrade() -> None:
    op.drop_table('split_sides')
    op.drop_index('runs_created_at_idx', table_name='runs')
    op.drop_table('runs')
