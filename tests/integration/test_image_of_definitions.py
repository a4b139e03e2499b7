"""The image of examples/definitions, on the one that `make image` built, run as its Deployment says; on loopback."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import yaml
from lando.local.cluster import LocalCluster
from lando.stopping import GRACE_S
from tests.services.image import ACCOUNT_FOLDER, SOMEBODY, Container, Image, built_image
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import end_group, free_port, start_group, wait_until

pytestmark = [pytest.mark.service("buildah"), pytest.mark.timeout(300)]

WAIT_S = 60
EXAMPLE = Path(__file__).parents[2] / "examples/definitions"
OBJECTS: dict[tuple[str, str], dict[str, Any]] = {
    (item["kind"], item["metadata"]["name"]): item
    for file in (EXAMPLE / "kubernetes").glob("*.yaml")
    for item in yaml.safe_load_all(file.read_text())
}
POD = OBJECTS["Deployment", "job-server"]["spec"]["template"]["spec"]
TOKEN = "a-token"


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with built_image(EXAMPLE) as built:
        yield built


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    """Of an embedded cluster that has what its kinds allow of the example."""
    with LocalCluster(tmp_path_factory.mktemp("cluster"), sandbox="substitute") as cluster:
        api = KubernetesApi(cluster.url, cluster.ca_file, cluster.token, "default")
        for name in ("helloworld", "job-definitions"):
            assert api.create("configmaps", OBJECTS["ConfigMap", name]).code == 201
        yield api


def folder_of(path: Path, files: dict[str, str]) -> Path:
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def token_of(api: KubernetesApi) -> str:
    return str(api.session.headers["Authorization"]).partition(" ")[2]


@pytest.fixture
def container(image: Image, api: KubernetesApi, tmp_path: Path) -> Container:
    """The Deployment's, as a kubelet makes it, but that it listens on a loopback port of its own."""
    assert POD["securityContext"]["runAsUser"] == 1000
    (described,) = POD["containers"]
    host, port = api.url.removeprefix("https://").split(":")
    environment = {**image.environment, "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    for entry in described["env"]:
        match entry.get("valueFrom", {}):
            case {"fieldRef": {"fieldPath": "metadata.namespace"}}:
                environment[entry["name"]] = api.namespace
            case {"secretKeyRef": {"name": "job-server", "key": "token"}}:
                environment[entry["name"]] = TOKEN
            case _:
                environment[entry["name"]] = entry["value"]
    environment |= {"JOB_SERVER_HOST": "127.0.0.1", "JOB_SERVER_PORT": str(free_port())}
    made = Container(image.root, environment, user=1000, group=1000)
    maps = {one["name"]: one["configMap"]["name"] for one in POD["volumes"] if "configMap" in one}
    for mount in described["volumeMounts"]:
        if mount["name"] in maps:
            data = OBJECTS["ConfigMap", maps[mount["name"]]]["data"]
            made.mount(folder_of(tmp_path / mount["name"], data), mount["mountPath"], read_only=mount["readOnly"])
    account = {"token": token_of(api), "ca.crt": api.ca_file.read_text(), "namespace": api.namespace}
    made.mount(folder_of(tmp_path / "account", account), ACCOUNT_FOLDER, read_only=True)
    os.chmod(tmp_path, 0o755)
    return made


class Server:
    """The container's process 1, and requests to it."""

    def __init__(self, image: Image, container: Container, log: Path) -> None:
        with log.open("w") as stderr:
            self.process = start_group(
                container.command(*image.settings["Entrypoint"]), stdout=subprocess.PIPE, stderr=stderr, text=True
            )
        self._log = log
        self._url = f"http://127.0.0.1:{container.environment['JOB_SERVER_PORT']}"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {TOKEN}"

    def call(self, method: str, path: str, **how: Any) -> Any:
        answer = self.session.request(method, self._url + path, timeout=WAIT_S, **how)
        assert answer.status_code == 200, (answer.text, self._log.read_text())
        return answer.json()

    def answers(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        try:
            return bool(self.call("GET", "/healthcheck")["healthy"])
        except requests.ConnectionError:
            return False

    def stop(self) -> tuple[int, str]:
        """Tell process 1 to end, as a kubelet does: its exit status, and what it wrote to standard output."""
        (first,) = psutil.Process(self.process.pid).children()
        first.terminate()
        written, _ = self.process.communicate(timeout=GRACE_S)
        return self.process.returncode, written


@pytest.fixture
def started(image: Image, tmp_path: Path) -> Iterator[Any]:
    """Starts servers, and ends those that still run."""
    servers: list[Server] = []

    def start(container: Container) -> Server:
        server = Server(image, container, tmp_path / f"log-{len(servers)}")
        servers.append(server)
        wait_until(server.answers, WAIT_S, what="the start of the server")
        return server

    yield start
    for server in servers:
        end_group(server.process)


def test_the_image_starts_the_server(image: Image) -> None:
    assert image.settings["User"] == "1000:1000"
    assert image.settings["ExposedPorts"].keys() == {"5000/tcp"}

    told = image.container().run(*image.settings["Entrypoint"])

    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("JOB_SIGNATURE is not set: ")


def test_the_deployment_s_pod_makes_jobs_prints_those_it_deletes_and_ends_well(
    started: Any, container: Container, api: KubernetesApi
) -> None:
    server = started(container)
    assert server.call("GET", "/healthcheck") == {"healthy": True}
    names = {}
    for definition, arguments in (
        ("helloworld", {}),
        ("helloworld-via-configmap", {}),
        ("fail", {}),
        ("template", {"name": "you"}),
    ):
        body = {"job_definition_name": definition, **arguments}
        names[definition] = server.call("POST", "/jobs", json=body)["job_name"]

    def states() -> dict[str, str]:
        return {definition: server.call("GET", f"/jobs/{name}")["state"] for definition, name in names.items()}

    wait_until(lambda: "Running" not in states().values(), WAIT_S, what="the ends of the Jobs")
    assert states() == {**dict.fromkeys(names, "Complete"), "fail": "Failed"}
    assert server.call("GET", f"/jobs/{names['fail']}")["cause"]["exit_code"] == 3
    assert server.stop() == (0, "")

    # The next one finds a Job whose time has come.
    api.patch("jobs", names["fail"], {"metadata": {"annotations": {"job_deletion_time_unix_sec": "1"}}})
    server = started(container)
    wait_until(lambda: api.get("jobs", names["fail"]).code == 404, WAIT_S, what="the deletion")
    status, written = server.stop()
    assert status == 0
    assert [json.loads(line)["metadata"]["name"] for line in written.splitlines()] == [names["fail"]]


def test_any_user_without_a_home_and_with_a_kubeconfig_does_too(
    started: Any, container: Container, api: KubernetesApi, tmp_path: Path
) -> None:
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": {"server": api.url, "certificate-authority": "/etc/kube/ca.crt"}}],
        "users": [{"name": "it", "user": {"token": token_of(api)}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
    }
    files = {"config": yaml.safe_dump(kubeconfig), "ca.crt": api.ca_file.read_text()}
    container.mount(folder_of(tmp_path / "kube", files), "/etc/kube", read_only=True)
    changed = {**container.environment, "IN_CLUSTER": "", "KUBECONFIG": "/etc/kube/config"}
    del changed["HOME"], container.mounts[ACCOUNT_FOLDER]

    server = started(replace(container, environment=changed, user=SOMEBODY, group=0))

    assert server.call("GET", "/definitions")["definitions"].keys() >= {"helloworld", "template"}
    assert server.call("POST", "/jobs?dry_run=true", json={"job_definition_name": "helloworld-via-configmap"})
    assert server.call("GET", "/jobs").keys() == {"jobs"}
    assert server.stop()[0] == 0
