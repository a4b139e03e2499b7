"""The whole of Lando as separate processes, as a site runs it: RabbitMQ, API server, cluster, lando, watcher.

Each part is started by the command that its users type, talks to the others over the network only, and can be killed
and started again by its name.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import requests
import yaml
from tests.services.providing import end_group, free_port

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

    def __init__(self, folder: Path, amqp_url: str, queue: str) -> None:
        self.folder = folder
        self.amqp_url = amqp_url
        self.queue = queue
        self.results = folder / "results"
        self.api_port = free_port()
        self.metrics_ports = {"lando": free_port(), "watcher": free_port()}
        self.url = f"http://127.0.0.1:{self.api_port}"
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
        self.signin = self._set_up_site()
        self.cluster: dict[str, Any] = {}
        """Where the cluster is: ``url``, ``ca_file``, ``namespace`` and the files of each daemon's token. Set it before
        :meth:`start` to use another than the embedded one."""

    def config_file(self, name: str) -> Path:
        """Where the configuration of a daemon lies."""
        return self.folder / f"{name}.config"

    def start(self) -> None:
        """Start everything and wait until it answers."""
        if not self.cluster:
            self.start_cluster()
        self.write_config()
        for name in ("server", "lando", "watcher"):
            self.start_process(name)
        self.wait_for(f"{self.url}/healthz")
        for port in self.metrics_ports.values():
            self.wait_for(f"http://127.0.0.1:{port}/healthz")

    def start_cluster(self) -> None:
        """The embedded cluster; says where it is on its first line."""
        process = self._spawn(
            "cluster",
            [sys.executable, "-m", "lando.local", "--home", str(self.folder / "cluster"), "--namespace", NAMESPACE],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"the cluster did not start: {self.log('cluster')}")
        place = json.loads(line)
        self.cluster = place | {"token_files": dict.fromkeys(("lando", "watcher"), place["token_file"])}

    def start_process(self, name: str) -> None:
        """``server``, ``lando`` or ``watcher``, by the command of the manual."""
        commands = {
            "server": [
                "lando",
                "serve",
                "--host",
                "127.0.0.1",
                "--port",
                str(self.api_port),
                "--daemons",
                str(self.config_file("lando")),
            ],
            "lando": [sys.executable, "-m", "lando.k8s.lando", str(self.config_file("lando"))],
            "watcher": [sys.executable, "-m", "lando.k8s.watcher", str(self.config_file("watcher"))],
        }
        self._spawn(name, commands[name])

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End one process as a crash does (or otherwise as told) and wait until it is gone."""
        process = self._processes.pop(name)
        process.send_signal(how)
        process.wait(30)
        if process.stdout:
            process.stdout.close()

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
        return requests.get(f"http://127.0.0.1:{self.metrics_ports[name]}/metrics", timeout=10).text

    def request(self, method: str, path: str, *, token: str | None = None, **arguments: Any) -> requests.Response:
        """One request as the user (or with ``token``)."""
        headers = {"Authorization": f"Token {token or self.signin.user}"}
        return requests.request(method, f"{self.url}{path}", headers=headers, timeout=30, **arguments)

    def command(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line as the user."""
        environment = {**self._environment, "LANDO_URL": self.url, "LANDO_TOKEN": self.signin.user}
        return subprocess.run(
            ["lando", *words], env=environment, capture_output=True, text=True, timeout=120, check=check
        )

    def write_config(self, **extra: Any) -> None:
        """The daemons' file, in the form of the seed document."""
        broker = urlsplit(self.amqp_url)
        config: dict[str, Any] = {
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
            "bespin_api": {"url": f"{self.url}/api/v2", "token": self.signin.daemon},
            "lando_api": {"url": f"{self.url}/api/lando/v1", "token": self.signin.daemon},
            "data_store_settings": {"url": self.results.as_uri()},
            "run_workflow_settings": {},
            "staging": {"allow_local_addresses": True},
            "archive": {"url": (self.folder / "archive").as_uri()},
            "log_level": "INFO",
            **extra,
        }
        for name, port in self.metrics_ports.items():
            # One file serves both where each daemon is alone on its machine; here their metrics need two ports.
            own = {**config, "metrics_port": port, "metrics_host": "127.0.0.1"}
            token = Path(self.cluster["token_files"][name]).read_text().strip()
            own["cluster_api_settings"] = config["cluster_api_settings"] | {"token": token}
            self.config_file(name).write_text(yaml.safe_dump(own), encoding="utf-8")
            self.config_file(name).chmod(0o600)

    def close(self) -> None:
        """End every process, the daemons first."""
        for name in ("watcher", "lando", "server", "cluster"):
            if process := self._processes.pop(name, None):
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
        done = subprocess.run(
            ["lando", "admin", "setup", USER, "--broker", self.amqp_url, "--queue", self.queue],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"lando admin setup failed: {done.stderr}")
        tokens = json.loads(done.stdout)
        return Signin(tokens["user_token"], tokens["daemon_token"])

    def _spawn(self, name: str, command: list[str], stdout: int | IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self._environment,
                stdout=stdout or log,
                stderr=log,
                start_new_session=True,
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
            except requests.ConnectionError:
                pass
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise AssertionError(f"{name} ended with status {process.returncode}: {self.log(name)[-4000:]}")
            if time.monotonic() > until:
                raise AssertionError(f"{url} did not answer in {START_TIMEOUT_S:g} s")
            time.sleep(0.05)
