"""The whole of Lando as separate processes, as a site runs it: RabbitMQ, API server, cluster, lando, watcher.

Each part is started by the command that its users type, talks to the others over the network only, and can be killed
and started again by its name. ``server``, ``lando`` and ``watcher`` can be there several times: ``lando-2`` is a second
lando with a log, a configuration and a port of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import yaml
from tests.services.providing import end_group, free_port, start_group

USER = "ada"
START_TIMEOUT_S = 60.0
NAMESPACE = "lando-job-runner"


@dataclass(frozen=True)
class Signin:
    """The tokens that ``lando admin setup`` prints."""

    user: str
    daemon: str


class Stack:
    """Every process with its state below ``folder``; a context manager that ends what it started."""

    def __init__(self, folder: Path, amqp_url: str, queue: str, *, database_url: str | None = None) -> None:
        """``database_url`` None is SQLite; an empty PostgreSQL gets its schema."""
        self.folder = folder
        self.amqp_url = amqp_url
        self.queue = queue
        self.results = folder / "results"
        self._ports: dict[str, int] = {}
        self.url = self.url_of("server")
        self.daemons_api_url = self.url
        """How the daemons reach the API server. Set it before :meth:`start` to put something between."""
        self._home = folder / "home"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "LANDO_HOME": str(self._home),
            "LANDO_API_ARCHIVE_URL": (folder / "archive").as_uri(),
            "LANDO_API_RESULTS_ROOTS": self.results.as_uri(),
            "LANDO_API_PUBLIC_URL": self.url,
        }
        if database_url:
            self._environment["LANDO_API_DATABASE_URL"] = database_url
            self._administer("migrate")
        self.signin = self._set_up_site()
        self.cluster: dict[str, Any] = {}
        """Where the cluster is: ``url``, ``ca_file``, ``namespace`` and the files of each daemon's token. Set it before
        :meth:`start` to use another than the embedded one."""
        self._config: dict[str, Any] = {}

    def config_file(self, name: str) -> Path:
        """Where the configuration of a daemon lies."""
        return self.folder / f"{name}.config"

    def url_of(self, name: str) -> str:
        """Where an API server listens, or a daemon gives its metrics and health."""
        if name not in self._ports:
            self._ports[name] = free_port()
        return f"http://127.0.0.1:{self._ports[name]}"

    def start(self, names: Sequence[str] = ("server", "lando", "watcher")) -> None:
        """Start the cluster, where none is set, and these processes; wait until they answer."""
        if not self.cluster:
            self.start_cluster()
        self.write_config()
        for name in names:
            self.start_process(name)
        for name in names:
            self.wait_for(f"{self.url_of(name)}/readyz")

    def start_cluster(self, *options: str, within: Sequence[str] = ()) -> None:
        """The embedded cluster; says where it is on its first line. ``within`` comes before its command."""
        home = str(self.folder / "cluster")
        command = [*within, sys.executable, "-m", "lando.local", "--home", home, "--namespace", NAMESPACE, *options]
        process = self._spawn("cluster", command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"the cluster did not start: {self.log('cluster')}")
        place = json.loads(line)
        self.cluster = place | {"token_files": dict.fromkeys(("lando", "watcher"), place["token_file"])}

    def start_process(self, name: str, **environment: str) -> None:
        """``server``, ``lando`` or ``watcher``, by the command of the manual; ``-2`` and so on behind it is another.

        ``environment`` goes on top of what all processes have.
        """
        kind = name.partition("-")[0]
        if kind == "server":
            where = ["--host", "127.0.0.1", "--port", str(urlsplit(self.url_of(name)).port)]
            command = ["lando", "serve", *where, "--daemons", str(self._daemon_config("lando"))]
        else:
            command = [sys.executable, "-m", f"lando.k8s.{kind}", str(self._daemon_config(name))]
        self._spawn(name, command, environment=environment)

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> int:
        """End one process as a crash does (or otherwise as told), wait until it is gone; its exit status."""
        return self.end([name], how)[name]

    def end(self, names: Sequence[str], how: signal.Signals = signal.SIGTERM) -> dict[str, int]:
        """Tell all of these to end at the same moment, wait until they are gone; their exit statuses."""
        processes = {name: self._processes.pop(name) for name in names}
        for process in processes.values():
            process.send_signal(how)
        statuses = {name: process.wait(60) for name, process in processes.items()}
        for process in processes.values():
            if process.stdout:
                process.stdout.close()
        return statuses

    def is_running(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def log(self, name: str) -> str:
        """What the process wrote so far."""
        path = self.folder / f"{name}.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def metrics(self, name: str) -> str:
        """The metrics of one daemon in Prometheus' text form."""
        return requests.get(f"{self.url_of(name)}/metrics", timeout=10).text

    def request(
        self, method: str, path: str, *, token: str | None = None, server: str = "server", **arguments: Any
    ) -> requests.Response:
        """One request as the user (or with ``token``)."""
        headers = {"Authorization": f"Token {token or self.signin.user}"}
        return requests.request(method, f"{self.url_of(server)}{path}", headers=headers, timeout=30, **arguments)

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line as the user."""
        environment = {**self._environment, "LANDO_URL": self.url, "LANDO_TOKEN": self.signin.user}
        return subprocess.run(
            ["lando", *words], env=environment, capture_output=True, text=True, timeout=120, check=check
        )

    def write_config(self, **extra: Any) -> None:
        """The daemons' settings, in the form of the seed document; each process gets them when it is started."""
        broker = urlsplit(self.amqp_url)
        self._config = {
            "work_queue": {
                "host": broker.hostname,
                "port": broker.port or 5672,
                "username": unquote(broker.username or "guest"),
                "password": unquote(broker.password or "guest"),
                "virtual_host": unquote(broker.path[1:]) or "/",
                "worker_username": "worker",
                "worker_password": "unused",
                "listen_queue": self.queue,
            },
            "cluster_api_settings": {
                "host": self.cluster["url"],
                "namespace": self.cluster["namespace"],
                "verify_ssl": True,
                "ssl_ca_cert": self.cluster["ca_file"],
            },
            "bespin_api": {"url": f"{self.daemons_api_url}/api/v2", "token": self.signin.daemon},
            "lando_api": {"url": f"{self.daemons_api_url}/api/lando/v1", "token": self.signin.daemon},
            "data_store_settings": {"url": self.results.as_uri()},
            "run_workflow_settings": {},
            "staging": {"allow_local_addresses": True},
            "archive": {"url": (self.folder / "archive").as_uri()},
            "log_level": "INFO",
            **extra,
        }

    def _daemon_config(self, name: str) -> Path:
        # One file serves both where each daemon is alone on its machine; here their metrics need ports of their own.
        token_file = str(self.cluster["token_files"][name.partition("-")[0]])
        own = {**self._config, "metrics_port": urlsplit(self.url_of(name)).port, "metrics_host": "127.0.0.1"}
        own["cluster_api_settings"] = self._config["cluster_api_settings"] | {"token_file": token_file}
        file = self.config_file(name)
        fresh = file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump(own), encoding="utf-8")
        fresh.chmod(0o600)
        return fresh.replace(file)  # another process may be reading it

    def close(self) -> None:
        """End every process, the daemons first."""
        order = ("watcher", "lando", "server", "cluster")
        for name in sorted(self._processes, key=lambda name: order.index(name.partition("-")[0])):
            process = self._processes.pop(name)
            end_group(process)
            if process.stdout:
                process.stdout.close()

    def __enter__(self) -> Stack:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _set_up_site(self) -> Signin:
        tokens = json.loads(self._administer("setup", USER, "--broker", self.amqp_url, "--queue", self.queue))
        return Signin(tokens["user_token"], tokens["daemon_token"])

    def _administer(self, *words: str) -> str:
        command = ["lando", "admin", *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(command[:3])} failed: {done.stderr}")
        return done.stdout

    def _spawn(
        self,
        name: str,
        command: list[str],
        *,
        stdout: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = start_group(
                command,
                env={**self._environment, **(environment or {})},
                stdout=stdout or log,
                stderr=log,
                cwd=self.folder,
            )
        self._processes[name] = process
        return process

    def wait_for(self, url: str) -> None:
        """Return once ``url`` answers 200; fail when a process ended or it takes too long."""
        until = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                if requests.get(url, timeout=5).status_code == 200:
                    return
            except (requests.ConnectionError, requests.Timeout):
                pass
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise AssertionError(f"{name} ended with status {process.returncode}: {self.log(name)[-4000:]}")
            if time.monotonic() > until:
                raise AssertionError(f"{url} did not answer in {START_TIMEOUT_S:g} s")
            time.sleep(0.05)
