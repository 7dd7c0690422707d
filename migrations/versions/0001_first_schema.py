"""The first schema: jobs with their history, what they make, and who may do what.

The triggers refuse what the code should never ask: leaving a terminal state, lowering a fence,
changing an adapter. The indexes are argued in ``academy/store/jobs/tables.py``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('adapters',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('digest', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('job_id', sa.Text(), nullable=True),
    sa.Column('parent_id', sa.Text(), nullable=True),
    sa.Column('base_model', sa.Text(), nullable=False),
    sa.Column('base_digest', sa.Text(), nullable=True),
    sa.Column('dataset_id', sa.Text(), nullable=True),
    sa.Column('role', sa.Text(), nullable=True),
    sa.Column('parameters', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('metrics', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('code_version', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.ForeignKeyConstraint(['parent_id'], ['adapters.id'], name=op.f('adapters_parent_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('adapters_pkey')),
    sa.UniqueConstraint('job_id', name=op.f('adapters_job_id_key'))
    )
    op.create_index('adapters_created_at_idx', 'adapters', [sa.literal_column('created_at DESC'), 'id'], unique=False)
    op.create_table('api_keys',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('hash', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("role IN ('viewer', 'operator', 'admin')", name=op.f('api_keys_role_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('api_keys_pkey')),
    sa.UniqueConstraint('hash', name=op.f('api_keys_hash_key'))
    )
    op.create_table('datasets',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('digest', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('format', sa.Text(), nullable=False),
    sa.Column('train_rows', sa.Integer(), nullable=False),
    sa.Column('heldout_rows', sa.Integer(), nullable=False),
    sa.Column('statistics', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('request', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('job_id', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('datasets_pkey')),
    sa.UniqueConstraint('digest', name=op.f('datasets_digest_key'))
    )
    op.create_index('datasets_created_at_idx', 'datasets', [sa.literal_column('created_at DESC'), 'id'], unique=False)
    op.create_table('idempotent_requests',
    sa.Column('owner', sa.Text(), nullable=False),
    sa.Column('key', sa.Text(), nullable=False),
    sa.Column('route', sa.Text(), nullable=False),
    sa.Column('body_sha256', sa.Text(), nullable=False),
    sa.Column('status', sa.Integer(), nullable=False),
    sa.Column('answer', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.PrimaryKeyConstraint('owner', 'key', name=op.f('idempotent_requests_pkey'))
    )
    op.create_index('idempotent_requests_created_at_idx', 'idempotent_requests', ['created_at'], unique=False)
    op.create_table('jobs',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('kind', sa.Text(), nullable=False),
    sa.Column('queue', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('priority', sa.Integer(), nullable=False),
    sa.Column('role', sa.Text(), nullable=True),
    sa.Column('fence', sa.BigInteger(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('crashes', sa.Integer(), nullable=False),
    sa.Column('parameters', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('dataset_id', sa.Text(), nullable=True),
    sa.Column('base_model', sa.Text(), nullable=True),
    sa.Column('created_by', sa.Text(), nullable=True),
    sa.Column('worker_id', sa.Text(), nullable=True),
    sa.Column('lease_expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('not_before', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.Column('progress', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('checkpoint', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('result', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('failure_code', sa.Text(), nullable=True),
    sa.Column('failure_message', sa.Text(), nullable=True),
    sa.Column('failure_next_step', sa.Text(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('events_closed_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(status = 'failed') = (failure_code IS NOT NULL)", name=op.f('jobs_failure_check')),
    sa.CheckConstraint("(status IN ('cancelled', 'failed', 'finished')) = (finished_at IS NOT NULL)", name=op.f('jobs_finished_at_check')),
    sa.CheckConstraint("(status IN ('cancelling', 'pausing', 'preparing', 'running')) = (lease_expires_at IS NOT NULL)", name=op.f('jobs_lease_check')),
    sa.CheckConstraint("kind IN ('curation', 'training')", name=op.f('jobs_kind_check')),
    sa.CheckConstraint("status IN ('cancelled', 'cancelling', 'failed', 'finished', 'paused', 'pausing', 'preparing', 'queued', 'running')", name=op.f('jobs_status_check')),
    sa.PrimaryKeyConstraint('id', name=op.f('jobs_pkey'))
    )
    op.create_index('jobs_claim_idx', 'jobs', ['queue', sa.literal_column('priority DESC'), 'created_at'], unique=False, postgresql_where=sa.text("status = 'queued'"))
    op.create_index('jobs_created_at_idx', 'jobs', [sa.literal_column('created_at DESC'), 'id'], unique=False)
    op.create_index('jobs_lease_idx', 'jobs', ['lease_expires_at'], unique=False, postgresql_where=sa.text('lease_expires_at IS NOT NULL'))
    op.create_index('jobs_status_idx', 'jobs', ['status'], unique=False)
    op.create_table('lessons',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('situation', sa.Text(), nullable=False),
    sa.Column('solution', sa.Text(), nullable=False),
    sa.Column('tags', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('source', sa.Text(), nullable=True),
    sa.Column('quality', sa.Double(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('lessons_pkey'))
    )
    op.create_index('lessons_created_at_idx', 'lessons', ['created_at', 'id'], unique=False)
    op.create_table('tasks',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('messages', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.Column('tags', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('tasks_pkey'))
    )
    op.create_index('tasks_created_at_idx', 'tasks', ['created_at', 'id'], unique=False)
    op.create_table('workers',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('queue', sa.Text(), nullable=False),
    sa.Column('host', sa.Text(), nullable=False),
    sa.Column('pid', sa.Integer(), nullable=False),
    sa.Column('versions', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('gpus', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.Column('last_seen_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.Column('drain_requested_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('stopped_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('workers_pkey'))
    )
    op.create_table('aliases',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('adapter_id', sa.Text(), nullable=True),
    sa.Column('generation', sa.BigInteger(), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.ForeignKeyConstraint(['adapter_id'], ['adapters.id'], name=op.f('aliases_adapter_id_fkey')),
    sa.PrimaryKeyConstraint('name', name=op.f('aliases_pkey'))
    )
    op.create_table('event_chunks',
    sa.Column('job_id', sa.Text(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('first_seq', sa.BigInteger(), nullable=False),
    sa.Column('last_seq', sa.BigInteger(), nullable=False),
    sa.Column('data', sa.LargeBinary(), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('event_chunks_job_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'attempt', 'first_seq', name=op.f('event_chunks_pkey'))
    )
    op.create_table('hints',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('job_id', sa.Text(), nullable=False),
    sa.Column('queue', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.Column('published_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('hints_job_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('hints_pkey'))
    )
    op.create_index('hints_unpublished_idx', 'hints', ['id'], unique=False, postgresql_where=sa.text('published_at IS NULL'))
    op.create_table('job_transitions',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('job_id', sa.Text(), nullable=False),
    sa.Column('from_status', sa.Text(), nullable=True),
    sa.Column('to_status', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('fence', sa.BigInteger(), nullable=False),
    sa.Column('attempt', sa.Integer(), nullable=False),
    sa.Column('worker_id', sa.Text(), nullable=True),
    sa.Column('detail', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('job_transitions_job_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('job_transitions_pkey'))
    )
    op.create_index('job_transitions_job_id_idx', 'job_transitions', ['job_id', 'id'], unique=False)
    op.create_index('job_transitions_terminal_key', 'job_transitions', ['job_id'], unique=True, postgresql_where=sa.text("to_status IN ('cancelled', 'failed', 'finished')"))
    op.create_table('tickets',
    sa.Column('hash', sa.Text(), nullable=False),
    sa.Column('key_id', sa.Text(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['key_id'], ['api_keys.id'], name=op.f('tickets_key_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('hash', name=op.f('tickets_pkey'))
    )
    op.create_index('tickets_expires_at_idx', 'tickets', ['expires_at'], unique=False)
    op.create_table('alias_moves',
    sa.Column('id', sa.BigInteger(), sa.Identity(always=True), nullable=False),
    sa.Column('alias', sa.Text(), nullable=False),
    sa.Column('generation', sa.BigInteger(), nullable=False),
    sa.Column('from_adapter_id', sa.Text(), nullable=True),
    sa.Column('to_adapter_id', sa.Text(), nullable=True),
    sa.Column('moved_by', sa.Text(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('swap_seconds', sa.Double(), nullable=True),
    sa.Column('at', sa.DateTime(timezone=True), server_default=sa.text('clock_timestamp()'), nullable=False),
    sa.ForeignKeyConstraint(['alias'], ['aliases.name'], name=op.f('alias_moves_alias_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('alias_moves_pkey')),
    sa.UniqueConstraint('alias', 'generation', name=op.f('alias_moves_alias_generation_key'))
    )
    op.execute(GUARDS)


GUARDS = """
CREATE FUNCTION refuse_bad_job_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.status IN ('finished', 'failed', 'cancelled') AND NEW.status <> OLD.status THEN
        RAISE EXCEPTION 'job % is %, which is final; it cannot become %',
            OLD.id, OLD.status, NEW.status USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.fence < OLD.fence THEN
        RAISE EXCEPTION 'job % has fence %; it cannot go back to %',
            OLD.id, OLD.fence, NEW.fence USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER jobs_guard BEFORE UPDATE ON jobs
    FOR EACH ROW EXECUTE FUNCTION refuse_bad_job_update();

CREATE FUNCTION refuse_adapter_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'adapter % never changes; register a new version', OLD.id
        USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER adapters_guard BEFORE UPDATE ON adapters
    FOR EACH ROW EXECUTE FUNCTION refuse_adapter_update();
"""


def downgrade() -> None:
    op.execute("DROP TRIGGER adapters_guard ON adapters; DROP FUNCTION refuse_adapter_update();")
    op.execute("DROP TRIGGER jobs_guard ON jobs; DROP FUNCTION refuse_bad_job_update();")
    op.drop_table('alias_moves')
    op.drop_index('tickets_expires_at_idx', table_name='tickets')
    op.drop_table('tickets')
    op.drop_index('job_transitions_terminal_key', table_name='job_transitions', postgresql_where=sa.text("to_status IN ('cancelled', 'failed', 'finished')"))
    op.drop_index('job_transitions_job_id_idx', table_name='job_transitions')
    op.drop_table('job_transitions')
    op.drop_index('hints_unpublished_idx', table_name='hints', postgresql_where=sa.text('published_at IS NULL'))
    op.drop_table('hints')
    op.drop_table('event_chunks')
    op.drop_table('aliases')
    op.drop_table('workers')
    op.drop_index('tasks_created_at_idx', table_name='tasks')
    op.drop_table('tasks')
    op.drop_index('lessons_created_at_idx', table_name='lessons')
    op.drop_table('lessons')
    op.drop_index('jobs_status_idx', table_name='jobs')
    op.drop_index('jobs_lease_idx', table_name='jobs', postgresql_where=sa.text('lease_expires_at IS NOT NULL'))
    op.drop_index('jobs_created_at_idx', table_name='jobs')
    op.drop_index('jobs_claim_idx', table_name='jobs', postgresql_where=sa.text("status = 'queued'"))
    op.drop_table('jobs')
    op.drop_index('idempotent_requests_created_at_idx', table_name='idempotent_requests')
    op.drop_table('idempotent_requests')
    op.drop_index('datasets_created_at_idx', table_name='datasets')
    op.drop_table('datasets')
    op.drop_table('api_keys')
    op.drop_index('adapters_created_at_idx', table_name='adapters')
    op.drop_table('adapters')
