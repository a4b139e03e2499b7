"""What jobs of definitions ask of a cluster is what the example's account may, and what it may is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
import yaml
from fastapi.testclient import TestClient
from kubernetes.client.exceptions import ApiException
from lando.definitions.config import JobManagerFactory
from lando.definitions.manager import JobDeleter, JobManager
from lando.definitions.server import create_app
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until
from tests.services.recorder import Call, recorder
from tests.services.workloads import job, notes

WAIT_S = 60
ROLES = Path(__file__).parents[2] / "examples/definitions/kubernetes/roles.yaml"
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces"
Right = tuple[str, str]
"""A resource and a verb."""
GRANTED: set[Right] = {
    (resource, verb)
    for role in yaml.safe_load_all(ROLES.read_text())
    if role["kind"] == "ClusterRole"
    for rule in role["rules"]
    for resource in rule["resources"]
    for verb in rule["verbs"]
}
UNUSED: set[Right] = {("jobs", "get"), ("jobs/status", "list"), ("pods", "get"), ("pods/log", "list")}
"""What programs made for k8s-jobs may have come to rely on; Lando reads a Job by its status and pods by their list."""
EXTRA: set[Right] = {("events", "list")}
"""What is told where it can be read; without it all works."""
GROUPS = {"jobs": "batch", "jobs/status": "batch"}


def manifest(name: str, script: str, played: dict[str, str]) -> str:
    return yaml.safe_dump({"apiVersion": "batch/v1", "kind": "Job", **job(name, script, played)})


FAIL = manifest("fail", "echo no luck; exit 3", notes("Failed:3", log="no luck\n"))


@contextmanager
def manager_of(api: KubernetesApi, url: str, token: str, definitions: Path) -> Iterator[JobManager]:
    """One that calls the cluster at ``url``; its definition has its template in a ConfigMap."""
    definitions.write_text(f"- {{name: fail, spec_config_map_name: fail, spec_config_map_namespace: {api.namespace}}}")
    configuration = kubernetes.client.Configuration(host=url)
    configuration.ssl_ca_cert = str(api.ca_file)
    configuration.api_key["authorization"] = f"Bearer {token}"
    before = kubernetes.client.Configuration._default
    kubernetes.client.Configuration.set_default(configuration)
    try:
        yield JobManagerFactory.from_vars("ours", api.namespace, definitions).manager()
    finally:
        kubernetes.client.Configuration.set_default(before)


def right_of(call: Call) -> Right:
    """What the caller had to be granted."""
    path, _, query = call.path.partition("?")
    found = re.fullmatch(r"/apis?(?:/[\w.]+)?/v1/namespaces/[^/]+/(\w+)(/[^/]+)?(/\w+)?", path)
    assert found is not None, path
    resource, name, sub = found.groups()
    verbs = {"GET": "get" if name else "list", "POST": "create", "PATCH": "patch", "DELETE": "delete"}
    return f"{resource}{sub or ''}", "watch" if "watch=" in query else verbs[call.method]


def everything(manager: JobManager, server: TestClient) -> None:
    """Each call of the library and each route once, with what it needs."""

    def got(path: str) -> Any:
        answer = server.get(path)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json() if answer.headers["content-type"] == "application/json" else answer.text

    body = {"job_definition_name": "fail"}
    assert server.post("/jobs?dry_run=true", json=body).status_code == 200
    made = [server.post("/jobs", json=body, headers={"Idempotency-Key": "k"}).json()["job_name"] for _ in range(2)]
    name = made[0]
    assert made[1] == name
    assert '"line": "no luck"' in got(f"/jobs/{name}/logs?follow=true&all=true")
    manager.wait_for_job(name, timeout_s=WAIT_S)
    for path in (
        *("/healthcheck", "/definitions", "/jobs", "/jobs?limit=1", "/jobs?details=true", f"/jobs/{name}/status"),
        "/openapi.json",
    ):
        got(path)
    shown = got(f"/jobs/{name}")
    assert (shown["state"], shown["cause"]["exit_code"], shown["cause"]["log_tail"]) == ("Failed", 3, "no luck\n")
    assert got(f"/jobs/{name}/logs?follow=true") == "no luck\n"
    assert [list(pod.values()) for pod in got(f"/jobs/{name}/logs").values()] == [[["no luck", ""]]]
    assert set(got(f"/jobs/{name}/events")) == {"events", "terminations"}

    other = manager.create_job("fail")
    deleter = JobDeleter(manager)
    for made_by_hand in manager.list_jobs("fail"):
        deleter.mark_deletion_time(made_by_hand, 0 if made_by_hand.metadata.name == name else 3600)
    told: list[str] = []
    deleter.mark_and_delete_old_jobs(
        retention_period_sec=3600, delete_callback=lambda one: told.append(one.metadata.name)
    )
    assert told == [name]
    assert server.delete(f"/jobs/{other}").status_code == 200


def give_template(api: KubernetesApi) -> None:
    assert api.create("configmaps", {"metadata": {"name": "fail"}, "data": {"fail": FAIL}}).code == 201


def test_what_the_account_may_is_what_is_asked(api: KubernetesApi, tmp_path: Path) -> None:
    give_template(api)
    token = str(api.session.headers["Authorization"]).partition(" ")[2]
    with (
        recorder(api.url, str(api.ca_file)) as recorded,
        manager_of(api, recorded.url, token, tmp_path / "definitions") as manager,
        TestClient(create_app(manager, lambda request: None)) as server,
    ):
        everything(manager, server)

    assert {right_of(call) for call in recorded.calls} == (GRANTED - UNUSED) | EXTRA
    assert UNUSED <= GRANTED


def account(api: KubernetesApi, name: str, rights: set[Right]) -> str:
    """The token of a service account that may just that; on a cluster that has roles."""
    meta = {"metadata": {"name": name}}
    rules = [
        {"apiGroups": [GROUPS.get(resource, "")], "resources": [resource], "verbs": [verb]}
        for resource, verb in sorted(rights)
    ]
    subject = {"kind": "ServiceAccount", "name": name, "namespace": api.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    for path, body in (
        (f"{RBAC}/{api.namespace}/roles", {**meta, "rules": rules}),
        (f"{RBAC}/{api.namespace}/rolebindings", {**meta, "subjects": [subject], "roleRef": role}),
        (api.path("serviceaccounts"), meta),
    ):
        assert api.call("POST", path, body).code == 201
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    return str(api.call("POST", api.path("serviceaccounts", name, "token"), asked).body["status"]["token"])


def _delete(manager: JobManager) -> None:
    (found,) = manager.list_jobs()
    manager.delete_job(found)


def _mark(manager: JobManager) -> None:
    (found,) = manager.list_jobs()
    JobDeleter(manager).mark_deletion_time(found, 60)


@pytest.fixture
def real_api(kubeconfig: Path, tmp_path: Path) -> Iterator[KubernetesApi]:
    """Of a cluster that has roles."""
    with KubernetesApi.from_kubeconfig(kubeconfig, tmp_path).fresh_namespace() as api:
        yield api


@pytest.mark.service("kubernetes")
def test_with_these_rights_all_works_and_without_one_of_them_not(real_api: KubernetesApi, tmp_path: Path) -> None:
    api = real_api
    give_template(api)
    file = tmp_path / "definitions"
    with (
        manager_of(api, api.url, account(api, "all", GRANTED), file) as manager,
        TestClient(create_app(manager, lambda request: None)) as server,
    ):
        everything(manager, server)  # without events
        name = manager.create_job("fail")
        wait_until(lambda: manager.job_is_finished(name), WAIT_S, what=f"the end of {name}")
        wait_until(lambda: len(manager.list_jobs()) == 1, WAIT_S, what="the deletions")
    calls: dict[Right, Callable[[JobManager], object]] = {
        ("configmaps", "get"): lambda manager: manager.make_job("fail"),
        ("jobs", "create"): lambda manager: manager.create_job("fail"),
        ("jobs", "list"): lambda manager: manager.list_jobs(),
        ("jobs", "patch"): _mark,
        ("jobs", "delete"): _delete,
        ("jobs/status", "get"): lambda manager: manager.read_job(name),
        ("pods", "list"): lambda manager: manager.job_logs(name),
        ("pods/log", "get"): lambda manager: manager.job_logs(name),
    }
    assert calls.keys() == GRANTED - UNUSED
    for number, (right, call) in enumerate(calls.items()):
        token = account(api, f"without-{number}", GRANTED - {right})
        with manager_of(api, api.url, token, file) as manager:
            with pytest.raises(ApiException) as caught:
                call(manager)
            assert caught.value.status == 403, right
