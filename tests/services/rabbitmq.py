"""A RabbitMQ for tests: ``LANDO_TEST_AMQP_URL``, else an installed one, else one in a container, else a skip."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pika
import pika.exceptions
import pytest
from tests.services import certificates
from tests.services.providing import docker_answers, end_group, free_port, missing, start_group

HOW_TO_GET_IT = "apt install rabbitmq-server (without starting it), or set LANDO_TEST_AMQP_URL"
IMAGE = "rabbitmq:3.13"
START_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class RabbitMQ:
    """A running broker."""

    url: str
    """With the login of an administrator."""
    server: LocalServer | None = None
    """The broker itself, where it was started here and may be stopped and started."""

    def connect(self) -> pika.BlockingConnection:
        """A plain connection, as any other client has."""
        return pika.BlockingConnection(pika.URLParameters(self.url))


class LocalServer:
    """An installed RabbitMQ, run in a folder of its own on free ports of 127.0.0.1."""

    def __init__(self, sbin: Path, folder: Path) -> None:
        self._sbin = sbin
        self._folder = folder
        self.port = free_port()
        self.tls_port = free_port()
        self.certificates = certificates.make(folder / "tls")
        self._epmd: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = self._prepare()

    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    def start(self) -> None:
        """Start it and wait until it takes logins."""
        if self._epmd is None:
            # A name server of our own; otherwise Erlang starts one for all, which stays behind.
            self._epmd = start_group(["epmd"], env=self._environment)
        with (self._folder / "server.log").open("ab") as log:
            self._process = start_group(
                [self._sbin / "rabbitmq-server"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        wait_for_login(self.url(), self._process, self._folder / "server.log")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, by SIGKILL as a crash; what is durable stays."""
        if self._process is not None:
            end_group(self._process, first=how)
            self._process = None

    def close(self) -> None:
        """Stop it for good."""
        self.stop(signal.SIGKILL)
        if self._epmd is not None:
            end_group(self._epmd)

    def control(self, *arguments: str) -> str:
        """Run ``rabbitmqctl``."""
        done = subprocess.run(
            [self._sbin / "rabbitmqctl", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout

    def shell_command(self) -> str:
        """``rabbitmqctl`` of this server, for a shell."""
        variables = (f"{name}={value}" for name, value in self._environment.items())
        return shlex.join(["env", *variables, str(self._sbin / "rabbitmqctl")])

    def _prepare(self) -> dict[str, str]:
        folder, tls = self._folder, self.certificates
        (folder / "plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\n"
            f"listeners.ssl.default = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.cacertfile = {tls.ca}\n"
            f"ssl_options.certfile = {tls.server}\n"
            f"ssl_options.keyfile = {tls.server_key}\n"
            "ssl_options.verify = verify_peer\n"
            "ssl_options.fail_if_no_peer_cert = true\n"
            "disk_free_limit.absolute = 1MB\n"
        )
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"lando-{uuid.uuid4().hex[:8]}@localhost",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_DIST_PORT": str(free_port()),
            # One scheduler that sleeps when idle: the tests share the machine.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(free_port()),
        }


@contextlib.contextmanager
def local_broker(folder: Path) -> Iterator[LocalServer]:
    """The installed RabbitMQ, running in ``folder``; skips where none is installed."""
    sbin = _installed()
    if sbin is None:
        missing("rabbitmq", HOW_TO_GET_IT)
    server = LocalServer(sbin, folder)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """The broker of this test session."""
    if url := os.environ.get("LANDO_TEST_AMQP_URL"):
        yield RabbitMQ(url)
    elif _installed() is not None:
        with (
            tempfile.TemporaryDirectory(prefix="lando-rabbitmq-") as folder,
            local_broker(Path(folder)) as server,
        ):
            yield RabbitMQ(server.url(), server)
    elif docker_answers():
        with _container() as url:
            yield RabbitMQ(url)
    else:
        missing("rabbitmq", HOW_TO_GET_IT)


@pytest.fixture
def rabbitmq_server(rabbitmq: RabbitMQ) -> Iterator[LocalServer]:
    """The broker as a process that a test may stop; it runs again afterwards."""
    if rabbitmq.server is None:
        missing("rabbitmq", f"this test stops its broker: {HOW_TO_GET_IT.partition(',')[0]}")
    yield rabbitmq.server
    if not accepts_login(rabbitmq.url):
        rabbitmq.server.stop(signal.SIGKILL)
        rabbitmq.server.start()


@pytest.fixture
def queue_name(rabbitmq: RabbitMQ) -> Iterator[str]:
    """The name of a queue of this test's own; it and the queues that Lando keeps beside it are deleted afterwards."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    with contextlib.closing(rabbitmq.connect()) as connection:
        channel = connection.channel()
        for ending in ("", ".dead", ".delay.5s", ".delay.30s", ".delay.5m", ".delay.50ms", ".delay.100ms"):
            channel.queue_delete(name + ending)


def accepts_login(url: str) -> bool:
    """Whether a client gets in."""
    logging.getLogger("pika").setLevel(logging.CRITICAL)  # it reports every refused connection as an error
    try:
        pika.BlockingConnection(pika.URLParameters(url)).close()
    except (pika.exceptions.AMQPError, OSError):
        return False
    return True


def wait_for_login(url: str, process: subprocess.Popen[bytes] | None = None, log: Path | None = None) -> None:
    """Wait until the broker takes logins; fail with the end of its log when it ends or takes too long."""
    until = time.monotonic() + START_TIMEOUT_S
    while not accepts_login(url):
        if time.monotonic() > until or (process is not None and process.poll() is not None):
            told = log.read_text(errors="replace")[-2000:] if log is not None else ""
            pytest.fail(f"RabbitMQ did not start:\n{told}", pytrace=False)
        time.sleep(0.1)


def _installed() -> Path | None:
    """The folder of the server's own scripts; Debian's in /usr/sbin would change the user."""
    for found in sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin"), reverse=True):
        return found
    script = shutil.which("rabbitmq-server")
    return Path(script).resolve().parent if script and not script.startswith("/usr/sbin") else None


@contextlib.contextmanager
def _container() -> Iterator[str]:
    run = ["docker", "run", "--rm", "--detach", "--publish", "127.0.0.1::5672", IMAGE]
    identity = subprocess.run(run, capture_output=True, text=True, timeout=300, check=True).stdout.strip()
    try:
        port = subprocess.run(
            ["docker", "port", identity, "5672/tcp"], capture_output=True, text=True, timeout=30, check=True
        ).stdout.rpartition(":")[2]
        url = f"amqp://guest:guest@127.0.0.1:{port.strip()}/%2F"
        wait_for_login(url)
        yield url
    finally:
        subprocess.run(["docker", "rm", "--force", identity], capture_output=True, timeout=60, check=True)
