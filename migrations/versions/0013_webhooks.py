"""Webhooks, and what is delivered to each.

A webhook has a cursor into the changes. A keeper takes the rows behind it and writes deliveries in the
same transaction, under the webhook's lock; webhook_deliveries_event_key says besides that an event
becomes one delivery of a webhook. The other indexes are argued in ``academy/store/webhooks/tables.py``;
all but that for lists hold only what is pending, or only what is not.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


class Xid8(sa.types.UserDefinedType):
    cache_ok = True

    def get_col_spec(self, **_):
        return "xid8"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    clock = sa.text("clock_timestamp()")
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event_types", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("previous_secret", sa.Text(), nullable=True),
        sa.Column("previous_secret_until", moment, nullable=True),
        sa.Column("cursor_xid", Xid8(), nullable=False),
        sa.Column("cursor_id", sa.BigInteger(), nullable=False),
        sa.Column("silent", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rest_until", moment, nullable=True),
        sa.Column("last_delivered_at", moment, nullable=True),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.Column("created_at", moment, server_default=clock, nullable=False),
        sa.Column("updated_at", moment, server_default=clock, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("webhooks_pkey")),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("repeats", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", moment, server_default=clock, nullable=False),
        sa.Column("claimed_until", moment, nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_answer", sa.Text(), nullable=True),
        sa.Column("created_at", moment, server_default=clock, nullable=False),
        sa.Column("settled_at", moment, nullable=True),
        sa.CheckConstraint(
            "state IN ('delivered', 'given_up', 'pending')",
            name=op.f("webhook_deliveries_state_check"),
        ),
        sa.CheckConstraint(
            "(state = 'pending') = (settled_at IS NULL)",
            name=op.f("webhook_deliveries_settled_at_check"),
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhooks.id"],
            name=op.f("webhook_deliveries_webhook_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("webhook_deliveries_pkey")),
    )
    op.create_index(
        "webhook_deliveries_event_key",
        "webhook_deliveries",
        ["webhook_id", "event_id"],
        unique=True,
        postgresql_where=sa.text("repeats IS NULL"),
    )
    for name, columns in (
        ("webhook_deliveries_due_idx", ["webhook_id", "next_at", "number"]),
        ("webhook_deliveries_subject_idx", ["webhook_id", "subject", "number"]),
        ("webhook_deliveries_pending_idx", ["created_at"]),
    ):
        op.create_index(
            name,
            "webhook_deliveries",
            columns,
            unique=False,
            postgresql_where=sa.text("state = 'pending'"),
        )
    op.create_index(
        "webhook_deliveries_list_idx", "webhook_deliveries", ["webhook_id", "number"], unique=False
    )
    op.create_index(
        "webhook_deliveries_settled_idx",
        "webhook_deliveries",
        ["settled_at"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NOT NULL"),
    )
