"""The pods of openshift/kubernetes as processes of the built image, with a job through them: their very commands,
environments, mounts and users, from what kustomize renders. In place of a network for each pod they have ports of their
own on loopback; in place of a Kubernetes, the embedded cluster, whose steps run as processes of this installation.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml
from lando.stopping import GRACE_S
from tests.services import manifests
from tests.services.image import Kubelet, built_image
from tests.services.kubectl import find_kustomize
from tests.services.providing import end_group, free_port, start_group, wait_until
from tests.services.rabbitmq import RabbitMQ
from tests.services.user import EXAMPLES

pytestmark = [
    *(pytest.mark.service(name) for name in ("buildah", "kubectl", "rabbitmq", "postgres")),
    pytest.mark.timeout(400),
]

NAMESPACE = "lando"


class Deployment:
    """A site in ``folder``, with everything in it that was started."""

    def __init__(self, folder: Path, parts: ExitStack, broker: str, queue: str, database: str) -> None:
        self.folder = folder
        self._parts = parts
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.broker, self.queue = broker, queue
        self._ports = {"lando-server": free_port()}
        self.url = f"http://127.0.0.1:{self._ports['lando-server']}"
        self._image = parts.enter_context(built_image())
        self._cluster = self._start_cluster()
        shutil.copytree(manifests.FOLDER, folder / "lando" / "openshift")
        self.site = folder / "site"
        self.site.mkdir()
        for name, content in manifests.of_the_manual().items():
            (self.site / name).write_text(content)
        (self.site / "server.env").write_text(
            f"LANDO_API_DATABASE_URL={database}\nLANDO_API_PUBLIC_URL={self.url}\nLANDO_API_LOG_FORMAT=json\n"
            f"LANDO_BROKER={broker}\n"
        )
        self.configure(token="not-known-yet")

    def configure(self, *, token: str) -> None:
        """The manual's settings of the daemons, with what is where in this test."""
        settings = yaml.safe_load(manifests.of_the_manual()["k8s.config"])
        settings["work_queue"] = {"url": self.broker, "listen_queue": self.queue}
        settings["bespin_api"] = {"url": f"{self.url}/api/v2", "token": token}
        settings["lando_api"] = {"url": f"{self.url}/api/lando/v1", "token": token}
        settings["data_store_settings"] = {"url": (self.folder / "results").as_uri()}
        settings["archive"] = {"url": "file:///tmp/archive"}
        settings["staging"] = {"allow_local_addresses": True}
        settings |= {"metrics_host": "127.0.0.1"}
        del settings["storage_class_name"]
        (self.site / "k8s.config").write_text(yaml.safe_dump(settings))

    def apply(self) -> None:
        """Render the site and start what has not been started: as `kubectl apply -k` makes pods."""
        objects = manifests.rendered(find_kustomize(), self.site)
        secrets = {item["metadata"]["name"]: item["data"] for item in objects if item["kind"] == "Secret"}
        address = self._cluster["url"].rpartition("//")[2].split(":")
        self._kubelet = Kubelet(
            self._image,
            self.folder,
            secrets,
            {
                "token": Path(self._cluster["token_file"]).read_text().strip(),
                "ca.crt": Path(self._cluster["ca_file"]).read_text(),
                "namespace": NAMESPACE,
            },
            {"KUBERNETES_SERVICE_HOST": address[0], "KUBERNETES_SERVICE_PORT": address[1]},
        )
        self.templates = manifests.pod_templates(objects)

    def start(self, name: str, pod: str) -> None:
        """Run a Deployment's pod: its init containers to their ends, then its container until the test's end."""
        spec = self.templates[name]["spec"]
        containers = self._kubelet.containers(pod, spec)
        self._give_a_port(pod, containers)
        for each in spec.get("initContainers", []):
            done = containers[each["name"]].run(*each["command"])
            assert done.returncode == 0, done.stdout + done.stderr
        (each,) = spec["containers"]
        port = str(self._ports[pod])
        words = [{"0.0.0.0": "127.0.0.1", "8080": port}.get(word, word) for word in each["command"]]
        process = self._kubelet.start(pod, containers[each["name"]], words)
        self._parts.callback(end_group, process)
        self._processes[pod] = process
        path = each["startupProbe"]["httpGet"]["path"]
        wait_until(lambda: self._answers(pod, path, process), 90, what=f"{path} of {pod}")

    def wait_until_ready(self, name: str, pod: str) -> None:
        path = self.templates[name]["spec"]["containers"][0]["readinessProbe"]["httpGet"]["path"]
        wait_until(lambda: self._answers(pod, path), 90, what=f"{path} of {pod}: {self._kubelet.log(pod)[-2000:]}")

    def execute(self, name: str, pod: str, *words: str) -> str:
        """As `kubectl exec` does, in a container beside with the same surroundings."""
        spec = self.templates[name]["spec"]
        done = self._kubelet.containers(pod, spec)[spec["containers"][0]["name"]].run(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self) -> dict[str, int]:
        """Tell every pod's process 1 to end, as the kubelet does; their exit statuses."""
        for process in self._processes.values():
            (first,) = psutil.Process(process.pid).children()
            first.terminate()
        return {pod: process.wait(GRACE_S) for pod, process in self._processes.items()}

    def _give_a_port(self, pod: str, containers: dict[str, Any]) -> None:
        """In the cluster each pod has the port of the settings on an address of its own."""
        port = self._ports.setdefault(pod, free_port())
        for container in containers.values():
            if "/etc/lando" in container.mounts:
                file = container.mounts["/etc/lando"][0] / "k8s.config"
                file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"metrics_port": port}))

    def _answers(self, pod: str, path: str, process: subprocess.Popen[bytes] | None = None) -> bool:
        assert process is None or process.poll() is None, self._kubelet.log(pod)[-4000:]
        try:
            return requests.get(f"http://127.0.0.1:{self._ports[pod]}{path}", timeout=20).ok
        except requests.ConnectionError:
            return False

    def _start_cluster(self) -> dict[str, Any]:
        command = [
            sys.executable,
            "-m",
            "lando.local",
            "--home",
            str(self.folder / "cluster"),
            "--namespace",
            NAMESPACE,
        ]
        with (self.folder / "cluster.log").open("wb") as log:
            process = start_group(command, stdout=subprocess.PIPE, stderr=log)
        self._parts.callback(end_group, process)
        assert process.stdout is not None
        self._parts.enter_context(process.stdout)
        place: dict[str, Any] = json.loads(process.stdout.readline())
        return place


@pytest.fixture
def deployment(tmp_path: Path, rabbitmq: RabbitMQ, queue_name: str, postgres_url: str) -> Iterator[Deployment]:
    with ExitStack() as parts:
        yield Deployment(tmp_path, parts, rabbitmq.url, queue_name, postgres_url)


def test_a_job_goes_through_the_deployment_of_the_manual(deployment: Deployment) -> None:
    deployment.apply()
    deployment.start("lando-server", "lando-server")  # the schema comes from its init container
    deployment.wait_until_ready("lando-server", "lando-server")
    setup = ("lando", "admin", "setup", "ada", "--queue", deployment.queue)
    tokens = json.loads(deployment.execute("lando-server", "lando-server", *setup))

    deployment.configure(token=tokens["daemon_token"])
    deployment.apply()
    pods = {"lando-1": "lando", "lando-2": "lando", "lando-watcher": "lando-watcher"}
    for pod, name in pods.items():
        deployment.start(name, pod)
    for pod, name in pods.items():
        deployment.wait_until_ready(name, pod)

    environment = {**os.environ, "LANDO_URL": deployment.url, "LANDO_TOKEN": tokens["user_token"]}
    example = EXAMPLES / "fastq-qc"
    submit = [sys.executable, "-m", "lando", "submit", "workflow.cwl", "job-order.yaml", "--wait"]
    done = subprocess.run(
        submit, cwd=example, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((deployment.folder / "results").rglob("README.md"))
    doctor = ("lando", "doctor", "--daemon", "lando", "/etc/lando/k8s.config")
    assert "Lando can work." in deployment.execute("lando", "lando-1", *doctor)
    assert deployment.execute("lando-prune", "lando-prune", "lando", "prune", "--dry-run", "/etc/lando/k8s.config")
    assert set(deployment.end().values()) == {0}
