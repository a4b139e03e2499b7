"""Sign-ins: who a user is at the sign-in provider, whatever their name there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the schema to this version."""
    op.add_column("users", sa.Column("provider_subject", sa.String(512), nullable=True))
    op.create_index(op.f("ix_users_provider_subject"), "users", ["provider_subject"], unique=True)


def downgrade() -> None:
    """Take this version back; users are known by their names at the provider again."""
    op.drop_index(op.f("ix_users_provider_subject"), "users")
    op.drop_column("users", "provider_subject")
