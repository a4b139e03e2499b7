"""Which version the database's schema has, and which one this program needs."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

HEAD = "0010"
"""The newest migration; a test holds it equal to the newest file below ``migrations/versions``."""


def version_of(connection: Connection) -> str | None:
    """The version of the schema to which ``connection`` leads, None for an empty database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def is_reached(target: str, version: str | None) -> bool:
    """Whether a schema of that version needs no migration to ``target``; a newer one does for this program's own."""
    return version == target or (target == HEAD and version is not None and version > HEAD)
