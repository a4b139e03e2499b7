"""Storage rights: what the sign-in provider gave out for a user, which the data service takes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.add_column("users", sa.Column("provider_token", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take this version back; users sign in again before they start a job."""
    op.drop_column("users", "provider_token")
