"""A job error belongs to one life of its job: what is told twice is kept once, whatever the servers' clocks say."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.add_column("job_errors", sa.Column("generation", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Take this version back."""
    op.drop_column("job_errors", "generation")
