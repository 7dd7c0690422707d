"""Schedules that skip a time: while their last job goes on, or when there is nothing new to train on.

What is kept already behaves as before: ``allow`` and false. The keepers ask for one job by its id
and, for a schedule with ``only_if_new``, for one training of the dataset, both once for a due time
only. jobs_trained_idx answers the second: without it each such time would read all jobs. It holds
trainings only, which are few beside the hours that each of them takes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('schedules', sa.Column('overlap', sa.Text(), server_default=sa.text("'allow'"), nullable=False))
    op.add_column('schedules', sa.Column('only_if_new', sa.Boolean(), server_default=sa.text('false'), nullable=False))
    op.add_column('schedules', sa.Column('last_skip', postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.add_column('schedules', sa.Column('skipped', sa.BigInteger(), server_default=sa.text('0'), nullable=False))
    op.create_check_constraint(op.f('schedules_overlap_check'), 'schedules', "overlap IN ('allow', 'skip')")
    op.create_check_constraint(op.f('schedules_only_if_new_check'), 'schedules', "NOT only_if_new OR kind = 'training'")
    op.create_index('jobs_trained_idx', 'jobs', ['dataset_id'], unique=False, postgresql_where=sa.text("kind = 'training'"))


def downgrade() -> None:
    op.drop_index('jobs_trained_idx', table_name='jobs', postgresql_where=sa.text("kind = 'training'"))
    op.drop_constraint(op.f('schedules_only_if_new_check'), 'schedules')
    op.drop_constraint(op.f('schedules_overlap_check'), 'schedules')
    op.drop_column('schedules', 'skipped')
    op.drop_column('schedules', 'last_skip')
    op.drop_column('schedules', 'only_if_new')
    op.drop_column('schedules', 'overlap')
