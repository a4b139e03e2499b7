"""What an API server keeps, saved into a folder and put back in a new place: database, key, uploaded files.

The database goes first. Whatever it names was there before it, so that the files, which are never changed, make up a
whole with it though the server goes on meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from lando.api.database import Database
from lando.api.run_ids import skip_ids
from lando.api.settings import Settings
from lando.errors import ConfigError

SQLITE_COPY, POSTGRES_COPY = "lando.db", "lando.pgdump"
KEY_COPY, FILES_COPY = "server.key", "files"


def back_up(settings: Settings, folder: Path) -> None:
    """Save a running or stopped server into ``folder``, which is made and closed to other users.

    Raises ConfigError when there is something in it, or nothing to save.
    """
    url = make_url(settings.database_url)
    with closing(Database(settings.database_url)) as database:
        if database.version() is None:
            raise ConfigError("There is nothing to back up: the database is empty.")
    key = Path(settings.key_file)
    if not key.is_file():
        raise ConfigError(f"The server's key {key} is not there: back up with the server's settings, where it runs.")
    try:
        if folder.exists() and any(folder.iterdir()):
            raise ConfigError(f"{folder} is not empty; name a new folder.")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if url.get_backend_name() == "sqlite":
            with closing(sqlite3.connect(str(url.database))) as connection:
                connection.execute("VACUUM INTO ?", (str(folder / SQLITE_COPY),))
        else:
            _run("pg_dump", url, "--format=custom", "--no-owner", f"--file={folder / POSTGRES_COPY}")
        saved = SQLITE_COPY if url.get_backend_name() == "sqlite" else POSTGRES_COPY
        (folder / saved).chmod(0o600)  # wherever it is moved: it holds the brokers' passwords
        _copy_key(key, folder / KEY_COPY)
        _copy_files(Path(settings.files_dir), folder / FILES_COPY)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"The backup in {folder} is not whole: {error}.") from error


def restore(settings: Settings, folder: Path, *, skip: int) -> int:
    """Put back what :func:`back_up` saved, where nothing is yet; the id that the next job gets.

    ``skip`` ids of jobs and runs are left out (see :func:`lando.api.run_ids.skip_ids`). Raises ConfigError.
    """
    url = make_url(settings.database_url)
    is_sqlite = url.get_backend_name() == "sqlite"
    saved = folder / (SQLITE_COPY if is_sqlite else POSTGRES_COPY)
    for needed in (saved, folder / KEY_COPY):
        if not needed.is_file():
            raise ConfigError(f"{folder} holds no backup for these settings: {needed.name} is not there.")
    with closing(Database(settings.database_url)) as database:
        if database.version() is not None:
            raise ConfigError("The database is not empty: restore into a new one.")
        key = Path(settings.key_file)
        if key.exists() and key.read_bytes() != (folder / KEY_COPY).read_bytes():
            raise ConfigError(f"{key} holds another key than the backup; remove it if no server uses it.")
        database.close()
        if is_sqlite:
            target = Path(str(url.database))
            for leftover in ("-wal", "-shm"):
                target.with_name(target.name + leftover).unlink(missing_ok=True)
            target.touch()
            target.chmod(0o600)  # before anything is in it
            shutil.copyfile(saved, target)
        else:
            _run("pg_restore", url, "--no-owner", "--exit-on-error", "--single-transaction", str(saved))
        _copy_key(folder / KEY_COPY, key)
        _copy_files(folder / FILES_COPY, Path(settings.files_dir))
        with database.write() as session:
            return skip_ids(session, skip)


def _run(program: str, url: URL, *words: str) -> None:
    """Run a program of PostgreSQL on the database, the password in its environment."""
    environment = os.environ | ({"PGPASSWORD": url.password} if url.password else {})
    where = url.set(drivername="postgresql", password=None).render_as_string()
    try:
        done = subprocess.run(
            [program, *words, f"--dbname={where}"], env=environment, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise ConfigError(f"{program} is not installed: it comes with PostgreSQL's client programs.") from error
    if done.returncode:
        raise ConfigError(f"{program} failed: {(done.stderr.strip() or 'it gave no reason').splitlines()[0]}")


def _copy_key(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(0o600)
    shutil.copyfile(source, target)


def _copy_files(source: Path, target: Path) -> None:
    """The tree below ``source``; what is removed meanwhile was used by nobody."""
    for folder, _, names in os.walk(source):
        into = target / Path(folder).relative_to(source)
        into.mkdir(parents=True, exist_ok=True)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(Path(folder) / name, into / name)
