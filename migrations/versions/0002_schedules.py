"""Schedules: jobs that the keepers submit by the clock.

One partial index, on what is due: with thousands of schedules a sweep still reads only those whose
time has come. Every other read is by name, the primary key.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('schedules',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('request', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('every_seconds', sa.Double(), nullable=True),
    sa.Column('cron', sa.Text(), nullable=True),
    sa.Column('time_zone', sa.Text(), nullable=False),
    sa.Column('missed', sa.Text(), nullable=False),
    sa.Column('grace_seconds', sa.Double(), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=True),
    sa.Column('next_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('last_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('last_outcome', sa.Text(), nullable=True),
    sa.Column('last_job_id', sa.Text(), nullable=True),
    sa.Column('last_refusal', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('submitted', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('refused', sa.BigInteger(), server_default=sa.text('0'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.CheckConstraint('(every_seconds IS NULL) <> (cron IS NULL)', name=op.f('schedules_timing_check')),
    sa.CheckConstraint('every_seconds >= 1', name=op.f('schedules_every_seconds_check')),
    sa.CheckConstraint("missed IN ('skip', 'once')", name=op.f('schedules_missed_check')),
    sa.CheckConstraint("last_outcome IN ('submitted', 'refused', 'skipped')", name=op.f('schedules_last_outcome_check')),
    sa.PrimaryKeyConstraint('name', name=op.f('schedules_pkey'))
    )
    op.create_index('schedules_due_idx', 'schedules', ['next_at'], unique=False, postgresql_where=sa.text('enabled'))


def downgrade() -> None:
    op.drop_index('schedules_due_idx', table_name='schedules', postgresql_where=sa.text('enabled'))
    op.drop_table('schedules')
