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
from pathlib import Path

import pytest
from tests.services.providing import docker_answers, end_group, free_port, missing

HOW_TO_GET_IT = "apt install postgresql (without starting it), or set LANDO_TEST_POSTGRES_URL"
IMAGE = "postgres:16"
START_TIMEOUT_S = 60.0


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL ``postgresql://…`` of an administrator's database in this session's server."""
    pytest.importorskip("psycopg", reason="postgres is not to be had: install the extra 'postgres'")
    if url := os.environ.get("LANDO_TEST_POSTGRES_URL"):
        yield url.replace("postgresql+psycopg://", "postgresql://")
    elif (programs := _installed()) is not None:
        with _local(programs) as url:
            yield url
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


def _installed() -> Path | None:
    """The folder of initdb and postgres, the newest where there are several."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name.split(".")[0]))
    if found:
        return found[-1]
    script = shutil.which("initdb")
    return Path(script).resolve().parent if script else None


@contextlib.contextmanager
def _local(programs: Path) -> Iterator[str]:
    """A server in a temporary folder on a free port of 127.0.0.1, quick and forgetful."""
    with tempfile.TemporaryDirectory(prefix="lando-postgres-") as folder:
        data, log, port = Path(folder) / "data", Path(folder) / "server.log", free_port()
        prefix = _unprivileged(folder)
        environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8", "HOME": folder}
        subprocess.run(
            [*prefix, programs / "initdb", "-D", data, "-U", "lando", "--auth=trust", "--no-sync", "--encoding=UTF8"],
            env=environment,
            cwd=folder,
            capture_output=True,
            timeout=120,
            check=True,
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*prefix, programs / "postgres", "-D", data, *options],
                env=environment,
                cwd=folder,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        url = f"postgresql://lando@127.0.0.1:{port}/postgres"
        try:
            _wait(url, process, log)
            yield url
        finally:
            end_group(process, first=signal.SIGINT)  # without waiting for clients


def _unprivileged(folder: str) -> list[str]:
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
