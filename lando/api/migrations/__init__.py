"""Alembic's migrations, portable between SQLite and PostgreSQL."""
