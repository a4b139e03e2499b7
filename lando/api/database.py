"""The database: sessions that read, sessions that write, and its schema's version.

SQLite runs in WAL mode and begins writing transactions with ``BEGIN IMMEDIATE``, so that a transaction that reads and
then writes never fails half-way; writers of this process queue at a lock instead of in SQLite's sleeping retries.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from lando.api.schema_version import HEAD, is_reached, version_of
from lando.errors import ConfigError, Unavailable

logger = logging.getLogger(__name__)

BUSY_S = 30
"""How long a writer waits for its turn, in seconds."""

_NETWORK_LIMITS = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""libpq's own, in seconds and (the last) milliseconds: without, a server that fell silent is waited for without end."""
_READ_ONLY = "25006"
"""How PostgreSQL refuses to write on a server that follows another one, or has been replaced by one."""
_WRITES = "lando_writes"


class Database:
    """One database; threads may share it. :meth:`close` gives the connections back."""

    def __init__(self, url: str) -> None:
        self._url = _parsed(url)
        self._engine = _engine(self._url)
        self._readers = sessionmaker(self._engine, expire_on_commit=False)
        self._writers = sessionmaker(self._engine.execution_options(**{_WRITES: True}), expire_on_commit=False)
        self._turn = threading.Lock() if self.is_sqlite else None
        self._silence: str | None = None
        """What was said when the database last did not answer at all; None since it did."""
        self.away_since: datetime | None = None
        """Since when nobody has reached it, by this machine's clock; None while it answers."""
        self._asking = threading.RLock()
        """Held by the one who asks a silent database whether it is back."""

    @property
    def is_sqlite(self) -> bool:
        """Whether all writers share one file."""
        return self._url.get_backend_name() == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that changes nothing; raises Unavailable when the database is away."""
        with self._outages(), self._readers() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that is committed at the end, or rolled back on any error; raises Unavailable likewise."""
        if self._turn is not None and not self._turn.acquire(timeout=BUSY_S):
            raise Unavailable("database", "other writers take too long; try again")
        try:
            with self._outages(), self._writers.begin() as session:
                yield session
        finally:
            if self._turn is not None:
                self._turn.release()

    def migrate(self, target: str = HEAD) -> None:
        """Bring the schema up or down to ``target``; does nothing, quickly, when it has that version already.

        A schema that is newer than this program is left as it is, unless ``target`` is given. Raises ConfigError when
        it fails, which leaves the schema as it was.
        """
        if is_reached(target, self.version()):
            return
        from lando.api import migrating

        engine = _engine(self._url, migrates=True)
        try:
            with _told(), engine.execution_options(**{_WRITES: True}).begin() as connection:
                migrating.migrate(connection, target)
        finally:
            engine.dispose()

    def version(self) -> str | None:
        """The schema's version, None for an empty database; raises ConfigError for a file that is no database."""
        try:
            with self._outages(), self._engine.connect() as connection:
                return version_of(connection)
        except DatabaseError as error:
            if not self.is_sqlite:
                raise
            raise ConfigError(f"The database {self._url.database} can't be used: {error.orig}.") from error

    def require_current(self) -> str:
        """The schema's version; raises ConfigError unless it is the one this program needs, or a newer one.

        No migration takes away what the version before it uses, so this program works on with the schema of the next.
        """
        version = self.version()
        if version is None or version < HEAD:
            found = f"has version {version}" if version else "is empty"
            raise ConfigError(f"The database's schema {found}, this program needs {HEAD}: run 'lando admin migrate'.")
        return version

    def unavailable(self) -> str:
        """What may be told to everybody of a database that raised Unavailable; why is for the log, which has it."""
        since = f" since {self.away_since:%Y-%m-%dT%H:%M:%SZ}" if self.away_since else ""
        return f"database: not available{since}; the server's log says why."

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _outages(self) -> Iterator[None]:
        """Raises what keeps the database from answering as Unavailable.

        While it is silent only one thread at a time waits to see whether it is back; all others are refused at once,
        so that they do not fill the server.
        """
        known = self._silence
        if known is not None and not self._asking.acquire(blocking=False):
            raise Unavailable("database", known)
        is_back = True
        try:
            with _told():
                yield
        except Unavailable as error:
            is_back = False
            if isinstance(error.__cause__, DBAPIError) and self.away_since is None:
                self.away_since = datetime.now(UTC)
                logger.warning("The database is not available: %s", _sentence(error.__cause__))
            if isinstance(error.__cause__, DBAPIError) and isinstance(error.__cause__.orig, TimeoutError):
                self._silence = _sentence(error.__cause__)
            raise
        finally:
            if is_back:
                self._silence = self.away_since = None
            if known is not None:
                self._asking.release()


def time_of(session: Session) -> datetime:
    """The database's own time, the same for all servers; with SQLite, whose file is on this machine, this machine's."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    return session.execute(select(func.now())).scalar_one()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError("database_url is no database URL; give sqlite:////path or postgresql://host/name.") from error
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() != "sqlite":
        raise ConfigError(f"database_url: {parsed.get_backend_name()} is not supported; use sqlite or postgresql.")
    if not parsed.database or parsed.database == ":memory:":
        raise ConfigError("database_url: SQLite needs a file, e.g. sqlite:////var/lib/lando/lando.db.")
    return parsed


def _engine(url: URL, *, migrates: bool = False) -> Engine:
    """``migrates`` lets it take its time, and lets SQLite rebuild a table while others refer to it."""
    try:
        if url.get_backend_name() != "sqlite":
            given = {key: value for key, value in _NETWORK_LIMITS.items() if key not in url.query}
            server = create_engine(
                url, pool_size=10, max_overflow=40, pool_timeout=BUSY_S, pool_pre_ping=True, connect_args=given
            )
            if not migrates:
                from lando.api.postgres import limit_silence

                limit_silence(server)
            return server
        Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(
            url,
            pool_size=10,
            max_overflow=40,
            pool_timeout=BUSY_S,
            connect_args={"check_same_thread": False, "timeout": BUSY_S, "isolation_level": None},
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(f"The database driver is missing ({error}): install lando[postgres].") from error
    except OSError as error:
        raise ConfigError(f"database_url: {url.database} can't be made: {error.strerror}.") from error
    event.listen(engine, "connect", _prepare_sqlite_for_migrating if migrates else _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    _prepare_sqlite_for_migrating(connection, record)
    connection.execute("PRAGMA foreign_keys=ON").close()


def _prepare_sqlite_for_migrating(connection: Any, _record: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # The driver would begin only at the first change, too late for what was read before it.
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable("database", "all connections are in use; try again") from error
    except OperationalError as error:
        raise Unavailable("database", _sentence(error)) from error
    except DBAPIError as error:
        if error.connection_invalidated or getattr(error.orig, "sqlstate", None) == _READ_ONLY:
            raise Unavailable("database", _sentence(error)) from error
        raise


def _sentence(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else "no answer"
