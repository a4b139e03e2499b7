"""From one version of the schema to another: one transaction, by one server at a time, or not at all."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from lando.api.schema_version import is_reached, version_of
from lando.errors import ConfigError

MIGRATIONS = Path(__file__).parent / "migrations"

_LOCK = 0x1A4D0
"""Of PostgreSQL's advisory locks, the one that whoever migrates holds."""
_TURN_S = 600
"""How long the end of somebody else's migration is waited for, in seconds."""
_TABLE_S = 30
"""How long a table that is in use is waited for, in seconds: whoever asks for it after the migration waits as long."""


def versions() -> list[str]:
    """Every version of the schema that this program knows, the oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def migrate(connection: Connection, target: str) -> None:
    """Bring the schema up or down to ``target``, within the connection's transaction.

    Raises ConfigError, after which the transaction is to be rolled back.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{_TURN_S}s'"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        connection.execute(text(f"SET LOCAL lock_timeout = '{_TABLE_S}s'"))
    version = version_of(connection)
    if is_reached(target, version):
        return  # by somebody else, meanwhile
    config = _config()
    config.attributes["connection"] = connection
    step = command.upgrade if version is None or version < target else command.downgrade
    try:
        step(config, target)
        _check(connection)
    except DBAPIError as error:
        raise _failure(version, target, str(error.orig).strip().partition("\n")[0]) from error
    except Exception as error:
        raise _failure(version, target, str(error) or type(error).__name__) from error


def _check(connection: Connection) -> None:
    """SQLite rebuilds the tables that change, for which it is let off its foreign keys."""
    if connection.dialect.name != "sqlite":
        return
    if (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()) is not None:
        raise ValueError(f"a row of {broken[0]} would refer to one of {broken[2]} that is not there")


def _failure(version: str | None, target: str, reason: str) -> ConfigError:
    return ConfigError(
        f"The database can't be migrated from version {version or 'none'} to {target}: {reason}. It is as it was."
    )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
