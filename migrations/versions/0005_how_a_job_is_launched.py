"""How a job's process is to be launched: launcher, image, network, limits.

A column of its own and not a part of ``parameters``, because those are the recipe that the trainer
gets and that an adapter's record shows; the same recipe in a container is the same training. It may
be null, so adding it rewrites nothing: jobs of earlier versions run as the settings say.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column('jobs', sa.Column('launch', postgresql.JSONB(), nullable=True))


def downgrade() -> None:
    op.drop_column('jobs', 'launch')
