"""A PostgreSQL for tests: ``LANDO_TEST_POSTGRES_URL``, else an installed one, else one in a container, else a skip."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.services.providing import docker_answers, end_group, free_port, missing, start_group

HOW_TO_GET_IT = "apt install postgresql (without starting it), or set LANDO_TEST_POSTGRES_URL"
IMAGE = "postgres:16"
START_TIMEOUT_S = 60.0


def require_driver() -> None:
    """Skip or fail, as for a server that is missing, where Python can't speak to any."""
    if find_spec("psycopg") is None:
        missing("postgres", "install the extra 'postgres'")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL ``postgresql://…`` of an administrator's database in this session's server."""
    require_driver()
    if url := os.environ.get("LANDO_TEST_POSTGRES_URL"):
        yield url.replace("postgresql+psycopg://", "postgresql://")
    elif _installed() is not None:
        with tempfile.TemporaryDirectory(prefix="lando-postgres-") as folder, local_postgres(Path(folder)) as server:
            yield server.url()
    elif docker_answers():
        with _container() as url:
            yield url
    else:
        missing("postgres", HOW_TO_GET_IT)


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """An empty database of this test's own, as a URL for SQLAlchemy; dropped afterwards."""
    import psycopg

    name = f"lando_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    server = postgres.rpartition("/")[0].replace("postgresql://", "postgresql+psycopg://")
    yield f"{server}/{name}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_server() -> Iterator[LocalPostgres]:
    """A server of this test's own, which it may stop and start."""
    require_driver()
    with tempfile.TemporaryDirectory(prefix="lando-postgres-") as folder, local_postgres(Path(folder)) as server:
        yield server


def _installed() -> Path | None:
    """The folder of initdb and postgres, the newest where there are several."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name.split(".")[0]))
    if found:
        return found[-1]
    script = shutil.which("initdb")
    return Path(script).resolve().parent if script else None


class LocalPostgres:
    """An installed PostgreSQL, run in a folder of its own on a free port of 127.0.0.1; it outlives crashes of itself,
    though not of the machine."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs = programs
        self._folder = folder
        self._prefix = _unprivileged(folder)
        self._environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8", "HOME": str(folder)}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        words: list[str | Path] = ["-D", folder / "data", "-U", "lando", "--auth=trust", "--no-sync", "--encoding=UTF8"]
        subprocess.run(
            [*self._prefix, programs / "initdb", *words],
            env=self._environment,
            cwd=folder,
            capture_output=True,
            timeout=120,
            check=True,
        )

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://lando@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it and wait until it takes logins."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        log = self._folder / "server.log"
        with log.open("ab") as output:
            self._process = start_group(
                [*self._prefix, self.programs / "postgres", "-D", self._folder / "data", *options],
                env=self._environment,
                cwd=self._folder,
                stdout=output,
                stderr=output,
            )
        _wait(self.url(), self._process, log)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it without waiting for its clients, or by SIGKILL as a crash; what is committed stays."""
        if self._process is None:
            return
        # Each of its processes leads a group of its own, and no new server starts while one is left.
        children = [
            int(pid) for pid in Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        ]
        end_group(self._process, first=how)
        self._process = None
        until = time.monotonic() + START_TIMEOUT_S
        while any(Path(f"/proc/{pid}").exists() for pid in children):
            if time.monotonic() > until:
                pytest.fail("PostgreSQL's processes did not end", pytrace=False)
            time.sleep(0.02)


@contextlib.contextmanager
def local_postgres(folder: Path) -> Iterator[LocalPostgres]:
    """The installed PostgreSQL, running in ``folder``; skips where none is installed."""
    programs = _installed()
    if programs is None:
        missing("postgres", f"it is to be stopped and started: {HOW_TO_GET_IT.partition(',')[0]}")
    server = LocalPostgres(programs, folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _unprivileged(folder: Path) -> list[str]:
    """How to start a program as someone other than root, whom PostgreSQL refuses; ``folder`` becomes theirs."""
    if os.geteuid() != 0:
        return []
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@contextlib.contextmanager
def _container() -> Iterator[str]:
    run = ["docker", "run", "--rm", "--detach", "--publish", "127.0.0.1::5432"]
    run += ["--env", "POSTGRES_HOST_AUTH_METHOD=trust", "--env", "POSTGRES_USER=lando", IMAGE]
    identity = subprocess.run(run, capture_output=True, text=True, timeout=300, check=True).stdout.strip()
    try:
        port = subprocess.run(
            ["docker", "port", identity, "5432/tcp"], capture_output=True, text=True, timeout=30, check=True
        ).stdout.rpartition(":")[2]
        url = f"postgresql://lando@127.0.0.1:{port.strip()}/postgres"
        _wait(url)
        yield url
    finally:
        subprocess.run(["docker", "rm", "--force", identity], capture_output=True, timeout=60, check=True)


def _wait(url: str, process: subprocess.Popen[bytes] | None = None, log: Path | None = None) -> None:
    """Wait until the server takes logins; fail with the end of its log when it ends or takes too long."""
    import psycopg

    until = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > until or (process is not None and process.poll() is not None):
                told = log.read_text(errors="replace")[-2000:] if log is not None else ""
                pytest.fail(f"PostgreSQL did not start:\n{told}", pytrace=False)
            time.sleep(0.05)
        else:
            return
