"""The server as a process with the example's definitions; on a real cluster with the example's rights and no more."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import end_group, free_port, start_group, wait_until
from tests.services.workloads import job, notes

WAIT_S = 60
FOLDER = Path(__file__).parents[2] / "examples/definitions/kubernetes"
KEY = "job_deletion_time_unix_sec"
GROUPS = {"rbac.authorization.k8s.io/v1": "/apis/rbac.authorization.k8s.io/v1", "v1": "/api/v1"}
ROUTES = {
    "ClusterRole": "clusterroles",
    "RoleBinding": "namespaces/{}/rolebindings",
    "ConfigMap": "namespaces/{}/configmaps",
    "ServiceAccount": "namespaces/{}/serviceaccounts",
}


def objects(*files: str, namespace: str) -> list[dict[str, Any]]:
    """What the example has in ``files``, moved to ``namespace`` as its README says."""
    text = "\n---\n".join((FOLDER / f"{file}.yaml").read_text() for file in files)
    return list(yaml.safe_load_all(text.replace("namespace: default", f"namespace: {namespace}")))


@pytest.fixture
def token(api: KubernetesApi, request: pytest.FixtureRequest) -> Iterator[str]:
    """Of the example's account; the embedded cluster has no roles, so there it is the administrator's."""
    is_real = "real" in request.node.name
    files = ["helloworld", "job-definitions", *(["service-account", "roles"] if is_real else [])]
    shared = []
    for item in objects(*files, namespace=api.namespace):
        path = f"{GROUPS[item['apiVersion']]}/{ROUTES[item['kind']].format(api.namespace)}"
        reply = api.call("POST", path, item)
        assert reply.code in (201, 409), reply.body
        if item["kind"] == "ClusterRole" and reply.code == 201:
            shared.append(f"{path}/{item['metadata']['name']}")
    if not is_real:
        yield str(api.session.headers["Authorization"]).partition(" ")[2]
        return
    path = f"/api/v1/namespaces/{api.namespace}/serviceaccounts/job-server/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    made = api.call("POST", path, asked)
    assert made.code == 201, made.body
    yield made.body["status"]["token"]
    for path in shared:
        api.call("DELETE", path)


class Server:
    """The process, and requests to it."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = "Bearer a-token"
        self.url = f"http://127.0.0.1:{port}"

    def call(self, method: str, path: str, **how: Any) -> Any:
        answer = self.session.request(method, self.url + path, timeout=WAIT_S, **how)
        assert answer.status_code == 200, (method, path, answer.text)
        return answer.json()

    def answers(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()
        try:
            return self.session.get(f"{self.url}/healthcheck", timeout=WAIT_S).status_code == 200
        except requests.ConnectionError:
            return False


@pytest.fixture
def server(api: KubernetesApi, token: str, tmp_path: Path) -> Iterator[Server]:
    """It finds Jobs of its own when it starts: one whose time has come, and one that has ended."""
    for name, noted in (("due", {KEY: "1"}), ("ended", {})):
        old = job(name, "true", notes())
        old["metadata"] |= {"annotations": noted, "labels": {"app.kubernetes.io/managed-by": "example"}}
        assert api.create("jobs", old).code == 201
    wait_until(lambda: bool(api.get("jobs", "ended").body.get("status", {}).get("succeeded")), WAIT_S, what="its end")
    (tmp_path / "helloworld").write_text(objects("helloworld", namespace=api.namespace)[0]["data"]["helloworld"])
    definitions = objects("job-definitions", namespace=api.namespace)[0]["data"]["job-definitions"]
    (tmp_path / "definitions").write_text(definitions.replace("/etc/job-specs", str(tmp_path)))
    cluster = {"server": api.url, "certificate-authority-data": base64.b64encode(api.ca_file.read_bytes()).decode()}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "server", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "server"}}],
        "current-context": "it",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    port = free_port()
    environment = {
        "KUBECONFIG": str(tmp_path / "kubeconfig"),
        "JOB_SIGNATURE": "example",
        "JOB_NAMESPACE": api.namespace,
        "JOB_DEFINITIONS_CONFIG_PATH": str(tmp_path / "definitions"),
        "JOB_RETENTION_PERIOD_SEC": "86400",
        "JOB_SERVER_TOKEN": "a-token",
        "JOB_SERVER_HOST": "127.0.0.1",
        "JOB_SERVER_PORT": str(port),
    }
    with (tmp_path / "log").open("w") as log:
        process = start_group(
            [sys.executable, "-m", "lando.definitions.server"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        running = Server(process, port)
        wait_until(running.answers, WAIT_S, what="the start of the server")
        yield running
    finally:
        end_group(process)


def test_the_example_s_definitions_work_with_the_example_s_rights(server: Server, api: KubernetesApi) -> None:
    names = {}
    for definition in ("helloworld", "helloworld-via-configmap", "fail", "timeout", "template"):
        body = {"job_definition_name": definition, **({"name": "you"} if definition == "template" else {})}
        names[definition] = server.call("POST", "/jobs", json=body)["job_name"]
    hello = names["helloworld-via-configmap"]
    assert server.call("GET", f"/jobs/{hello}?wait_s={WAIT_S / 2}")["state"] == "Complete"

    assert server.call("GET", "/healthcheck") == {"healthy": True}
    assert server.call("GET", "/definitions")["definitions"].keys() == names.keys()
    assert server.call("GET", "/jobs").keys() == {"jobs"}
    assert server.call("GET", f"/jobs/{hello}/status")["succeeded"] == 1
    ((_, logs),) = server.call("GET", f"/jobs/{hello}/logs").items()
    assert logs.keys() == {"hello", "world"}
    answer = server.session.get(f"{server.url}/jobs/{hello}/logs?follow=true&all=true", timeout=WAIT_S)
    told = [json.loads(line) for line in answer.text.splitlines() if line]
    followed: dict[str, list[str]] = {name: [] for name in logs}
    for entry in told:
        if "line" in entry:
            followed[entry["container"]].append(entry["line"])
    assert {name: [*lines, ""] for name, lines in followed.items()} == logs
    assert told[-1] == {"state": "Complete"}
    assert server.call("DELETE", f"/jobs/{names['timeout']}") == {"job_name": names["timeout"]}
    # What it did of itself when it started.
    wait_until(lambda: api.get("jobs", "due").code == 404, WAIT_S, what="the deletion")
    wait_until(lambda: KEY in api.get("jobs", "ended").body["metadata"].get("annotations", {}), WAIT_S, what="the mark")
    until = int(api.get("jobs", "ended").body["metadata"]["annotations"][KEY])
    assert 80_000 < until - time.time() < 90_000

    server.process.send_signal(signal.SIGTERM)
    out, _ = server.process.communicate(timeout=WAIT_S)
    assert server.process.returncode == 0
    assert [json.loads(line)["metadata"]["name"] for line in out.splitlines()] == ["due"]


def test_a_start_without_a_setting_is_one_line_that_names_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lando.definitions.server"],
        env={"JOB_SIGNATURE": "example"},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "JOB_NAMESPACE is not set: namespace of all its Jobs\n"
