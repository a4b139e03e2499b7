"""API servers with job definitions, as processes over one database, connected to a cluster in each way there is."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import requests
import yaml
from tests.services.kubernetes_api import KubernetesApi
from tests.services.phased_process import kubeconfig_of
from tests.services.providing import end_group, free_port, start_group, wait_until

START_TIMEOUT_S = 60.0
WAYS = ("kubeconfig", "daemons", "in cluster")


class DefinitionsSite:
    """Everything lies below ``folder``; the servers call ``api``'s cluster with its token, and nobody else's broker."""

    def __init__(self, folder: Path, api: KubernetesApi) -> None:
        self.folder = folder
        self.api = api
        self.kubeconfig_url = api.url
        """The cluster's, as the server by kubeconfig has it."""
        self.definitions = folder / "mounted" / "definitions.yaml"
        """What the servers are told; not there yet."""
        self.definitions.parent.mkdir(parents=True)
        self.account = folder / "account"
        """What a pod of the account has mounted: ``token`` and ``ca.crt``."""
        self.account.mkdir()
        (self.account / "token").write_text(str(api.session.headers["Authorization"]).partition(" ")[2])
        shutil.copy(api.ca_file, self.account / "ca.crt")
        self._environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(folder),
            "LANDO_HOME": str(folder / "home"),
            "LANDO_API_ARCHIVE_URL": (folder / "archive").as_uri(),
            "LANDO_API_DEFINITIONS": str(self.definitions),
            "LANDO_API_DEFINITIONS_FOR": "users",
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._urls: dict[str, str] = {}
        self._token = self._new_token()

    def start(self, way: str) -> None:
        """Have a server that connects in this way of :data:`WAYS`, unless there is one."""
        if way in self._processes:
            return
        port = free_port()
        command = ["lando", "serve", "--host", "127.0.0.1", "--port", str(port)]
        environment = dict(self._environment)
        match way:
            case "kubeconfig":
                file = kubeconfig_of(self.api, self.folder / "kubeconfig")
                file.write_text(file.read_text().replace(self.api.url, self.kubeconfig_url))
                environment["LANDO_API_DEFINITIONS_KUBECONFIG"] = str(file)
                environment["LANDO_API_DEFINITIONS_NAMESPACE"] = self.api.namespace
            case "daemons":
                command += ["--daemons", str(self._daemons_file())]
            case "in cluster":
                environment["LANDO_API_DEFINITIONS_NAMESPACE"] = self.api.namespace
                environment["KUBERNETES_SERVICE_HOST"] = str(urlsplit(self.api.url).hostname)
                environment["KUBERNETES_SERVICE_PORT"] = str(urlsplit(self.api.url).port)
                # /var/run is /run; a new one, as the mount points are made in it.
                mounted = ["--ro-bind", str(self.account), "/run/secrets/kubernetes.io/serviceaccount"]
                command = ["bwrap", "--die-with-parent", "--dev-bind", "/", "/", "--tmpfs", "/run", *mounted, *command]
        with (self.folder / f"{way}.log").open("ab") as log:
            process = start_group(command, env=environment, stdout=log, stderr=log, cwd=self.folder)
        self._processes[way] = process
        self._urls[way] = f"http://127.0.0.1:{port}/k8s-jobs"
        wait_until(lambda: self._answers(way), START_TIMEOUT_S, what=f"the server by {way}: {self.log(way)[-4000:]}")

    def call(self, way: str, method: str, path: str, **how: Any) -> requests.Response:
        """One request of an operator's to a server that was started, without a proxy, on a connection of its own."""
        with requests.Session() as session:
            session.trust_env = False
            session.headers["Authorization"] = f"Token {self._token}"
            return session.request(method, self._urls[way] + path, timeout=60, **how)

    def log(self, way: str) -> str:
        """What the server wrote so far."""
        return (self.folder / f"{way}.log").read_text("utf-8", "replace")

    def close(self) -> None:
        for process in self._processes.values():
            end_group(process, first=signal.SIGKILL)

    def __enter__(self) -> DefinitionsSite:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answers(self, way: str) -> bool:
        assert self._processes[way].poll() is None, self.log(way)[-4000:]
        try:
            return self.call(way, "GET", "/healthcheck").status_code == 200
        except requests.ConnectionError:
            return False

    def _daemons_file(self) -> Path:
        content = {
            "work_queue": {"url": "amqp://127.0.0.1:1/", "listen_queue": "lando"},
            "cluster_api_settings": {
                "host": self.api.url,
                "token_file": str(self.account / "token"),
                "ssl_ca_cert": str(self.account / "ca.crt"),
                "namespace": self.api.namespace,
            },
            "bespin_api": {"url": "http://127.0.0.1:1/api/v2", "token": "t"},
            "data_store_settings": {"url": (self.folder / "results").as_uri()},
            "run_workflow_settings": {},
        }
        file = self.folder / "daemons.config"
        file.write_text(yaml.safe_dump(content))
        file.chmod(0o600)
        return file

    def _new_token(self) -> str:
        command = ["lando", "admin", "setup", "operator", "--broker", "amqp://127.0.0.1:1/"]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["user_token"])
