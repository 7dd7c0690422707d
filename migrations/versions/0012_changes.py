"""What changed, for whoever follows it from outside: a feed, webhooks.

A row for each change of a job's status, and for each adapter, alias, dataset and worker that came,
went or moved. Triggers write them, since a statement that comes later, or somebody's own, cannot
forget a trigger; they cost a transition some 20 microseconds.

The primary key is the order in which readers go (`academy/store/changes/changes.py`): xid before id,
as ids are handed out before the transactions commit. It is the only index; nothing is found by
anything else, and the rows are removed from its beginning. ``removed_changes`` says up to where, so
that a reader who comes back late knows whether it missed something.

A worker that fell silent was known by the age of its heart-beat alone, which nothing writes. The
keeper notes it now in ``lost_at``; those that have been silent for long are no news.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TRIGGERS = """
CREATE FUNCTION note_job_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (type, subject, data)
    SELECT
        CASE NEW.to_status WHEN 'finished' THEN 'job.succeeded' ELSE 'job.' || NEW.to_status END,
        NEW.job_id,
        jsonb_strip_nulls(jsonb_build_object(
            'kind', kind, 'status', NEW.to_status, 'from_status', NEW.from_status,
            'reason', NEW.reason, 'attempt', NEW.attempt, 'worker_id', NEW.worker_id,
            'role', role, 'created_by', created_by, 'base_model', base_model,
            'dataset_id', coalesce(dataset_id, result ->> 'dataset_id'),
            'adapter_id', result ->> 'adapter_id',
            'failure_code', coalesce(failure_code, NEW.detail ->> 'code')
        ))
    FROM jobs WHERE id = NEW.job_id;
    RETURN NULL;
END $$;
CREATE TRIGGER job_transitions_changes AFTER INSERT ON job_transitions
    FOR EACH ROW EXECUTE FUNCTION note_job_change();

CREATE FUNCTION note_adapter_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    adapter record;
BEGIN
    IF TG_OP = 'DELETE' THEN adapter := OLD; ELSE adapter := NEW; END IF;
    INSERT INTO changes (type, subject, data) VALUES (
        CASE TG_OP WHEN 'DELETE' THEN 'adapter.deleted' ELSE 'adapter.created' END,
        adapter.id,
        jsonb_strip_nulls(jsonb_build_object(
            'digest', adapter.digest, 'job_id', adapter.job_id, 'parent_id', adapter.parent_id,
            'base_model', adapter.base_model, 'dataset_id', adapter.dataset_id,
            'role', adapter.role
        ))
    );
    RETURN NULL;
END $$;
CREATE TRIGGER adapters_changes AFTER INSERT OR DELETE ON adapters
    FOR EACH ROW EXECUTE FUNCTION note_adapter_change();

CREATE FUNCTION note_alias_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (type, subject, data) VALUES (
        'alias.moved',
        NEW.alias,
        jsonb_strip_nulls(jsonb_build_object(
            'generation', NEW.generation, 'from_adapter_id', NEW.from_adapter_id,
            'to_adapter_id', NEW.to_adapter_id, 'moved_by', NEW.moved_by,
            'reason', left(NEW.reason, 300)
        ))
    );
    RETURN NULL;
END $$;
CREATE TRIGGER alias_moves_changes AFTER INSERT ON alias_moves
    FOR EACH ROW EXECUTE FUNCTION note_alias_change();

CREATE FUNCTION note_dataset_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    dataset record;
BEGIN
    IF TG_OP = 'DELETE' THEN dataset := OLD; ELSE dataset := NEW; END IF;
    INSERT INTO changes (type, subject, data) VALUES (
        CASE TG_OP WHEN 'DELETE' THEN 'dataset.deleted' ELSE 'dataset.created' END,
        dataset.id,
        jsonb_strip_nulls(jsonb_build_object(
            'digest', dataset.digest, 'job_id', dataset.job_id, 'format', dataset.format,
            'train_rows', dataset.train_rows, 'heldout_rows', dataset.heldout_rows
        ))
    );
    RETURN NULL;
END $$;
CREATE TRIGGER datasets_changes AFTER INSERT OR DELETE ON datasets
    FOR EACH ROW EXECUTE FUNCTION note_dataset_change();

-- A heart-beat is an UPDATE as well; the WHEN below keeps it from coming here.
CREATE FUNCTION note_worker_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO changes (type, subject, data)
    SELECT
        happened,
        NEW.id,
        jsonb_strip_nulls(jsonb_build_object(
            'queue', NEW.queue, 'host', NEW.host, 'pid', NEW.pid,
            'version', NEW.versions ->> 'academy', 'gpus', jsonb_array_length(NEW.gpus),
            'draining', NEW.drain_requested_at IS NOT NULL, 'last_seen_at', NEW.last_seen_at
        ))
    FROM unnest(CASE TG_OP WHEN 'INSERT' THEN ARRAY['worker.joined'] ELSE array_remove(ARRAY[
        CASE WHEN OLD.stopped_at IS NOT NULL AND NEW.stopped_at IS NULL THEN 'worker.joined' END,
        CASE WHEN OLD.lost_at IS NOT NULL AND NEW.lost_at IS NULL AND OLD.stopped_at IS NULL
            AND NEW.stopped_at IS NULL THEN 'worker.returned' END,
        CASE WHEN OLD.drain_requested_at IS NULL AND NEW.drain_requested_at IS NOT NULL
            THEN 'worker.draining' END,
        CASE WHEN OLD.lost_at IS NULL AND NEW.lost_at IS NOT NULL THEN 'worker.lost' END,
        CASE WHEN OLD.stopped_at IS NULL AND NEW.stopped_at IS NOT NULL THEN 'worker.stopped' END
    ], NULL) END) AS happened;
    RETURN NULL;
END $$;
CREATE TRIGGER workers_joined AFTER INSERT ON workers
    FOR EACH ROW EXECUTE FUNCTION note_worker_change();
CREATE TRIGGER workers_changes AFTER UPDATE ON workers
    FOR EACH ROW WHEN (
        (OLD.stopped_at IS NULL) <> (NEW.stopped_at IS NULL)
        OR (OLD.lost_at IS NULL) <> (NEW.lost_at IS NULL)
        OR (OLD.drain_requested_at IS NULL) <> (NEW.drain_requested_at IS NULL)
    ) EXECUTE FUNCTION note_worker_change();
"""


class Xid8(sa.types.UserDefinedType):
    cache_ok = True

    def get_col_spec(self, **_):
        return "xid8"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "changes",
        sa.Column("xid", Xid8(), server_default=sa.text("pg_current_xact_id()"), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", moment, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("xid", "id", name=op.f("changes_pkey")),
    )
    op.create_table(
        "removed_changes",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("xid", Xid8(), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("one", name=op.f("removed_changes_one_check")),
        sa.PrimaryKeyConstraint("one", name=op.f("removed_changes_pkey")),
    )
    op.execute("INSERT INTO removed_changes (xid, id) VALUES ('0', 0)")
    op.add_column("workers", sa.Column("lost_at", moment, nullable=True))
    op.execute("""
        UPDATE workers SET lost_at = last_seen_at
        WHERE stopped_at IS NULL AND last_seen_at < clock_timestamp() - interval '1 hour'
    """)
    op.execute(TRIGGERS)
