"""A job's figures apart from its log, and sweeps with their trials.

figure_chunks holds again what the archive has as metrics, evaluations and checkpoints. A training
of a day writes a hundred times as many log lines, and a chart asked for all of them to be read and
decompressed. The key leads every read: one job, in order. What is in the archive already is copied
here, in PostgreSQL's own order and one chunk at a time, so that charts of earlier jobs stay.

sweeps_running_idx is what the keepers look at every few seconds; it holds live sweeps only. A trial
is begun by the one keeper that holds its sweep's row; should two ever try, the primary key of
sweep_trials lets one succeed. Its key on job_id answers to which sweep a job belongs.
"""

from __future__ import annotations

import json
import zlib

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

_FIGURES = {"metrics", "evaluation", "checkpoint"}


def upgrade() -> None:
    figures = op.create_table('figure_chunks',
    sa.Column('job_id', sa.Text(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('first_seq', sa.BigInteger(), nullable=False),
    sa.Column('last_seq', sa.BigInteger(), nullable=False),
    sa.Column('count', sa.Integer(), nullable=False),
    sa.Column('data', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('figure_chunks_job_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'attempt', 'first_seq', name=op.f('figure_chunks_pkey'))
    )
    _copy_from_archive(figures)
    op.create_table('sweeps',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('request', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('dataset_id', sa.Text(), nullable=False),
    sa.Column('base_model', sa.Text(), nullable=False),
    sa.Column('created_by', sa.Text(), nullable=True),
    sa.Column('ended_because', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("status IN ('running', 'finished', 'failed', 'cancelled')", name=op.f('sweeps_status_check')),
    sa.CheckConstraint("(status = 'running') = (finished_at IS NULL)", name=op.f('sweeps_finished_at_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('sweeps_pkey'))
    )
    op.create_index('sweeps_created_at_idx', 'sweeps', [sa.literal_column('created_at DESC'), 'id'], unique=False)
    op.create_index('sweeps_running_idx', 'sweeps', ['created_at'], unique=False, postgresql_where=sa.text("status = 'running'"))
    op.create_table('sweep_trials',
    sa.Column('sweep_id', sa.Text(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('job_id', sa.Text(), nullable=False),
    sa.Column('knobs', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('steps', sa.Integer(), nullable=False),
    sa.Column('stopped_because', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['sweep_id'], ['sweeps.id'], name=op.f('sweep_trials_sweep_id_fkey'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('sweep_trials_job_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('sweep_id', 'number', name=op.f('sweep_trials_pkey')),
    sa.UniqueConstraint('job_id', name=op.f('sweep_trials_job_id_key'))
    )


def downgrade() -> None:
    op.drop_table('sweep_trials')
    op.drop_index('sweeps_running_idx', table_name='sweeps', postgresql_where=sa.text("status = 'running'"))
    op.drop_index('sweeps_created_at_idx', table_name='sweeps')
    op.drop_table('sweeps')
    op.drop_table('figure_chunks')


def _copy_from_archive(figures: sa.Table) -> None:
    connection = op.get_bind()
    keys = connection.execute(sa.text(
        "SELECT c.job_id, c.attempt, c.first_seq FROM event_chunks c JOIN jobs j ON j.id = c.job_id"
        " WHERE j.kind = 'training' ORDER BY 1, 2, 3"
    )).all()
    for job_id, attempt, first_seq in keys:
        last_seq, data = connection.execute(
            sa.text(
                "SELECT last_seq, data FROM event_chunks"
                " WHERE job_id = :job_id AND attempt = :attempt AND first_seq = :first_seq"
            ),
            {"job_id": job_id, "attempt": attempt, "first_seq": first_seq},
        ).one()
        lines = [
            line for line in zlib.decompress(data).split(b"\n") if json.loads(line)["type"] in _FIGURES
        ]
        if lines:
            connection.execute(figures.insert().values(
                job_id=job_id, attempt=attempt, first_seq=first_seq, last_seq=last_seq,
                count=len(lines), data=zlib.compress(b"\n".join(lines)),
            ))
