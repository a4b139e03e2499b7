"""Jobs of definitions by `lando serve` as processes: each way to connect, many requests at once, changing definitions.

On a real cluster with the rights of openshift/definitions and no more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from lando.k8s import permissions
from tests.contract.test_definitions_rights import right_of
from tests.services.definitions_site import WAYS, DefinitionsSite
from tests.services.kubernetes_api import KubernetesApi
from tests.services.manifests import FOLDER
from tests.services.providing import wait_until
from tests.services.recorder import Recorder, recorder
from tests.services.workloads import job, notes

WAIT_S = 60
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces"
SAY = yaml.safe_dump(
    {"apiVersion": "batch/v1", "kind": "Job", **job("say", "echo {{ words }}", notes(log="words\n"))}
).replace("name: say", "name: say-{{ words }}")
LOADERS = 3


def stamped(version: str) -> str:
    """A manifest that says in three places of which version it is, and makes no pods."""
    manifest = {"apiVersion": "batch/v1", "kind": "Job", **job(version, "true", {}, parallelism=0)}
    manifest["metadata"]["labels"] = {"version": version}
    manifest["spec"]["template"]["metadata"]["annotations"] = {"version": version}
    return yaml.safe_dump(manifest)


def definitions(version: str, namespace: str) -> str:
    mapped = {"spec_config_map_name": "mapped", "spec_config_map_namespace": namespace}
    entries = [{"name": "say", "spec": SAY}, {"name": "filed", "spec": stamped(version)}, {"name": "mapped", **mapped}]
    return yaml.safe_dump(entries)


def with_the_documented_rights(api: KubernetesApi, *, but: tuple[str, str] | None = None) -> KubernetesApi:
    """The same, as the account of the API server in openshift/ (without one verb, and its resource); the embedded
    cluster has no roles."""
    role, binding = yaml.safe_load_all((FOLDER / "definitions" / "rights.yaml").read_text())
    for rule in role["rules"]:
        rule["verbs"] = [verb for verb in rule["verbs"] if (verb, *rule["resources"]) != but]
    if api.call("POST", f"{RBAC}/{api.namespace}/roles", role).code == 404:
        return api
    (subject,) = binding["subjects"]
    subject["namespace"] = api.namespace
    assert api.call("POST", f"{RBAC}/{api.namespace}/rolebindings", binding).code == 201
    assert api.call("POST", api.path("serviceaccounts"), {"metadata": {"name": subject["name"]}}).code == 201
    return KubernetesApi(api.url, api.ca_file, new_token(api), api.namespace)


def new_token(api: KubernetesApi, bound_to: str | None = None) -> str:
    """Of the API server's account; with a Secret's name one that ends with the Secret."""
    spec = {"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": bound_to}} if bound_to else {}
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    made = api.call("POST", api.path("serviceaccounts", "lando-server", "token"), asked)
    assert made.code == 201, made.body
    return str(made.body["status"]["token"])


@pytest.fixture(scope="module")
def api(any_cluster: KubernetesApi) -> Iterator[KubernetesApi]:
    """An administrator's, in a namespace for all tests here."""
    with any_cluster.fresh_namespace() as inside:
        yield inside


@pytest.fixture(scope="module")
def recorded(api: KubernetesApi) -> Iterator[Recorder]:
    """What the server by kubeconfig asks of the cluster."""
    with recorder(api.url, str(api.ca_file)) as recording:
        yield recording


@pytest.fixture(scope="module")
def site(api: KubernetesApi, recorded: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DefinitionsSite]:
    """The server by kubeconfig finds a Job that has ended; the others are started by the tests that need them."""
    ended = job("ended", "true", notes())
    ended["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "lando-definitions"}
    assert api.create("jobs", ended).code == 201
    template = {"metadata": {"name": "mapped"}, "data": {"mapped": stamped("a0")}}
    assert api.create("configmaps", template).code == 201
    with DefinitionsSite(tmp_path_factory.mktemp("site"), with_the_documented_rights(api)) as made:
        made.kubeconfig_url = recorded.url
        made.definitions.write_text(definitions("first", api.namespace))
        wait_until(lambda: bool(api.get("jobs", "ended").body["status"].get("succeeded")), WAIT_S, what="its end")
        made.start("kubeconfig")  # before others mark that Job: what is asked for it is to be recorded
        wait_until(lambda: any(one.method == "PATCH" for one in recorded.calls), WAIT_S, what="the first pass")
        yield made


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.service("bubblewrap")) if "in" in way.split() else way for way in WAYS]
)
def test_each_way_to_connect_makes_follows_reads_and_deletes(site: DefinitionsSite, way: str) -> None:
    site.start(way)

    def call(method: str, path: str, **how: Any) -> Any:
        answer = site.call(way, method, path, **how)
        assert answer.status_code == 200, (method, path, answer.text)
        return answer.json()

    body = {"job_definition_name": "say", "words": "hello"}
    assert call("POST", "/jobs?dry_run=true", json=body)["job_name"]
    name = call("POST", "/jobs", json=body)["job_name"]
    assert name in call("GET", "/jobs")["jobs"]
    wait_until(lambda: call("GET", f"/jobs/{name}")["state"] == "Complete", WAIT_S, what=f"the end of {name}")
    assert site.call(way, "GET", f"/jobs/{name}/logs?follow=true").text in ("hello\n", "words\n")
    assert call("GET", f"/jobs/{name}")["user"] == "operator"
    call("DELETE", f"/jobs/{name}")
    wait_until(lambda: name not in call("GET", "/jobs")["jobs"], WAIT_S, what=f"the deletion of {name}")
    assert call("GET", f"/jobs/{name}")["kept"]
    ((lines,),) = (pod.values() for pod in call("GET", f"/jobs/{name}/logs").values())
    assert lines in (["hello", ""], ["words", ""])
    assert "no right to watch" not in site.log(way)


def test_what_the_server_asks_of_the_cluster_is_what_its_account_may(site: DefinitionsSite, recorded: Recorder) -> None:
    site.start("kubeconfig")

    def call(method: str, path: str, **how: Any) -> Any:
        answer = site.call("kubeconfig", method, path, **how)
        assert answer.status_code == 200, (method, path, answer.text)
        return answer.json()

    name = call("POST", "/jobs", json={"job_definition_name": "say", "words": "hello"})["job_name"]
    call("POST", "/jobs?dry_run=true", json={"job_definition_name": "mapped"})
    wait_until(lambda: call("GET", f"/jobs/{name}")["state"] == "Complete", WAIT_S, what=f"the end of {name}")
    for path in ("/definitions", "/jobs?limit=1", "/jobs?details=true", f"/jobs/{name}/events", f"/jobs/{name}/logs"):
        call("GET", path)
    call("DELETE", f"/jobs/{name}")

    rights = {f"{verb} {resource}" for resource, verb in map(right_of, list(recorded.calls))}
    assert rights == {str(permission) for permission in permissions.DEFINITIONS}


def test_fifty_requests_with_one_key_at_two_servers_make_one_job(site: DefinitionsSite, api: KubernetesApi) -> None:
    servers = ("kubeconfig", "daemons")
    for way in servers:
        site.start(way)
    body = {"job_definition_name": "filed"}
    together = threading.Barrier(50)

    def post(number: int) -> tuple[int, str]:
        together.wait(WAIT_S)
        answer = site.call(servers[number % 2], "POST", "/jobs", json=body, headers={"Idempotency-Key": "one"})
        return answer.status_code, answer.text

    with ThreadPoolExecutor(50) as threads:
        answers = set(threads.map(post, range(50)))

    ((status, text),) = answers
    assert status == 200
    (name,) = (item["metadata"]["name"] for item in api.list("jobs", labelSelector="version=first").body["items"])
    assert text == f'{{"job_name":"{name}"}}'
    assert all(name in site.call(way, "GET", "/jobs").json()["jobs"] for way in servers)


class Load:
    """Requests without a pause, each for a Job of one of two definitions, as long as the context lasts."""

    def __init__(self, site: DefinitionsSite) -> None:
        self._site = site
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(LOADERS)]
        self.answers: list[tuple[float, float, str, int, str]] = []
        """When asked and when answered, of which definition, status and text."""

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join(WAIT_S)

    def go_on(self) -> None:
        """Return when each definition has been asked for a few more times."""
        seen = len(self.answers)
        wait_until(lambda: len(self.answers) >= seen + 2 * LOADERS, WAIT_S, what="more requests")

    def _work(self, number: int) -> None:
        while not self._enough.is_set():
            number += 1
            definition = ("filed", "mapped")[number % 2]
            began = time.monotonic()
            answer = self._site.call("kubeconfig", "POST", "/jobs", json={"job_definition_name": definition})
            self.answers.append((began, time.monotonic(), definition, answer.status_code, answer.text))


def test_definitions_that_are_replaced_under_load_fail_no_request_and_make_whole_jobs(
    site: DefinitionsSite, api: KubernetesApi
) -> None:
    site.start("kubeconfig")
    template = {"metadata": {"name": "mapped"}}
    mounted, data = site.definitions.parent, site.definitions.parent / "..data"

    def swap(version: str, text: str | None = None) -> None:
        """As a kubelet replaces a mounted ConfigMap."""
        folder = mounted / f"..{version}"
        folder.mkdir()
        (folder / "definitions.yaml").write_text(text or definitions(version, api.namespace))
        link = mounted / "..data_tmp"
        link.symlink_to(folder.name)
        link.replace(data)

    def rename(version: str, text: str | None = None) -> None:
        new = mounted / "new"
        new.write_text(text or definitions(version, api.namespace))
        new.replace(data / "definitions.yaml")

    def write(version: str) -> None:
        (data / "definitions.yaml").write_text(definitions(version, api.namespace))

    def made(definition: str) -> tuple[int, str]:
        answer = site.call("kubeconfig", "POST", "/jobs", json={"job_definition_name": definition})
        return answer.status_code, answer.json().get("job_name", "").partition("-")[0]

    swap("a0")
    site.definitions.unlink()
    site.definitions.symlink_to("..data/definitions.yaml")
    torn: list[tuple[float, float]] = []
    with Load(site) as load:
        for version, change in (("a1", swap), ("a2", rename), ("a3", swap), ("a4", rename)):
            change(version)
            assert api.replace("configmaps", {**template, "data": {"mapped": stamped(version)}}).code == 200
            assert (made("filed"), made("mapped")) == ((200, version), (200, version))
            load.go_on()

        rename("broken", "- name: [")
        assert made("filed") == (200, "a4"), "the last good one stays in force"
        (problem,) = site.call("kubeconfig", "GET", "/healthcheck").json()["problems"]
        assert "this is no YAML" in problem
        load.go_on()

        began = time.monotonic()
        write("a5")  # empty for a moment, which is a file without definitions
        torn.append((began, time.monotonic()))
        assert made("filed") == (200, "a5")
        load.go_on()

        began = time.monotonic()
        (data / "definitions.yaml").unlink()
        assert made("filed")[0] == 404
        load.go_on()
        rename("a6")
        torn.append((began, time.monotonic()))
        assert made("filed") == (200, "a6")
        load.go_on()

    for asked, answered, definition, status, text in load.answers:
        is_torn = any(asked <= end and began <= answered for began, end in torn)
        assert status == 200 or (status == 404 and is_torn), (definition, status, text)
    jobs = api.list("jobs", labelSelector="version,version!=first").body["items"]
    assert len(jobs) >= sum(status == 200 for *_, status, _ in load.answers)
    for item in jobs:
        version = item["metadata"]["labels"]["version"]
        assert item["metadata"]["name"].startswith(f"{version}-")
        assert item["spec"]["template"]["metadata"]["annotations"] == {"version": version}


@pytest.fixture
def real_api(kubeconfig: Path, tmp_path: Path) -> Iterator[KubernetesApi]:
    """Of a cluster that has roles."""
    with KubernetesApi.from_kubeconfig(kubeconfig, tmp_path).fresh_namespace() as inside:
        yield inside


@pytest.mark.service("kubernetes")
def test_without_the_right_to_watch_lists_ask_the_cluster_and_the_log_says_it_once(
    real_api: KubernetesApi, tmp_path: Path
) -> None:
    caller = with_the_documented_rights(real_api, but=("watch", "jobs"))
    with DefinitionsSite(tmp_path / "site", caller) as site:
        site.definitions.write_text(definitions("first", real_api.namespace))
        site.start("kubeconfig")
        wait_until(lambda: "no right to watch" in site.log("kubeconfig"), WAIT_S, what="a word about it")
        for _ in range(3):
            made = site.call("kubeconfig", "POST", "/jobs", json={"job_definition_name": "filed"}).json()["job_name"]
            assert made in site.call("kubeconfig", "GET", "/jobs").json()["jobs"]
            assert site.call("kubeconfig", "DELETE", f"/jobs/{made}").status_code == 200
        assert site.log("kubeconfig").count("no right to watch") == 1


@pytest.mark.service("kubernetes")
@pytest.mark.service("bubblewrap")
def test_a_pod_s_token_that_was_replaced_and_is_void_stops_nobody(real_api: KubernetesApi, tmp_path: Path) -> None:
    caller = with_the_documented_rights(real_api)
    assert real_api.create("secrets", {"metadata": {"name": "bound"}}).code == 201
    old = new_token(real_api, bound_to="bound")
    caller.session.headers["Authorization"] = f"Bearer {old}"
    with DefinitionsSite(tmp_path / "site", caller) as site:
        site.definitions.write_text(definitions("first", real_api.namespace))
        site.start("in cluster")
        assert site.call("in cluster", "POST", "/jobs", json={"job_definition_name": "filed"}).status_code == 200

        (site.account / "token").write_text(new_token(real_api))
        assert real_api.delete("secrets", "bound").code == 200
        wait_until(lambda: caller.list("jobs").code == 401, WAIT_S, what="the old token's end")

        assert site.call("in cluster", "POST", "/jobs", json={"job_definition_name": "filed"}).status_code == 200
