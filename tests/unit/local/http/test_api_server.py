"""The API over HTTPS: logs, tokens, formats, stopping, and the official Python client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import requests
from lando.local.http.access import Access
from lando.local.http.server import ApiServer
from lando.local.http.tls import Certificates, ensure_certificates
from lando.local.rules.status import bad_request
from lando.local.store.objects import ObjectStore
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until


class Logs:
    """A log source whose pieces are given; with ``follow`` it goes on until ``ended`` is set."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = [b"one\n", b"two\n"]
        self.asked: dict[str, Any] = {}
        self.ended = threading.Event()
        self.closed = threading.Event()

    def read(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail_lines: int | None = None,
        limit_bytes: int | None = None,
        since_time: datetime | None = None,
        timestamps: bool = False,
    ) -> Iterator[bytes]:
        if previous:
            raise bad_request(f'previous terminated container "{container}" in pod "{pod}" not found')
        self.asked = {"where": (namespace, pod, container), "tail_lines": tail_lines, "limit_bytes": limit_bytes}
        return self._read(follow)

    def _read(self, follow: bool) -> Iterator[bytes]:
        try:
            yield from self.pieces
            while follow and not self.ended.wait(0.01):
                yield b""
            if follow:
                yield b"last\n"
        finally:
            self.closed.set()


@pytest.fixture
def logs(server: ApiServer, store: ObjectStore) -> Iterator[Logs]:
    containers = [{"name": "main", "image": "x"}, {"name": "side", "image": "x"}]
    store.create("pods", "ns", {"metadata": {"name": "p"}, "spec": {"containers": containers}})
    store.modify("pods", "ns", "p", lambda pod: pod["spec"].update(nodeName="n"), subresource="binding")
    logs = Logs()
    server.set_log_source(logs)
    yield logs
    logs.ended.set()


def test_a_log_is_read_with_its_options(api: KubernetesApi, logs: Logs) -> None:
    assert api.get("pods", "p", "log", container="main", tailLines=5, limitBytes=99).body == "one\ntwo\n"
    assert logs.asked == {"where": ("ns", "p", "main"), "tail_lines": 5, "limit_bytes": 99}


def test_a_log_is_followed_until_the_container_ends(api: KubernetesApi, logs: Logs) -> None:
    url = api.url + api.path("pods", "p", "log")
    with api.session.get(url, params={"container": "main", "follow": "true"}, stream=True, timeout=10) as answer:
        lines = answer.iter_lines()
        assert [next(lines), next(lines)] == [b"one", b"two"]
        logs.ended.set()
        assert list(lines) == [b"last"]


def test_a_reader_who_leaves_closes_the_log(api: KubernetesApi, logs: Logs) -> None:
    url = api.url + api.path("pods", "p", "log")
    with api.session.get(url, params={"container": "main", "follow": "true"}, stream=True, timeout=10) as answer:
        assert next(answer.iter_lines()) == b"one"
    assert logs.closed.wait(10)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "a container name must be specified for pod p, choose one of: [main side]"),
        ({"container": "other"}, "container other is not valid for pod p"),
        ({"container": "main", "previous": "true"}, 'previous terminated container "main" in pod "p" not found'),
    ],
)
def test_a_log_that_can_not_be_had_says_why(
    api: KubernetesApi, logs: Logs, query: dict[str, str], message: str
) -> None:
    refused = api.get("pods", "p", "log", **query)
    assert (refused.code, refused.body["message"]) == (400, message)


def test_a_log_that_is_asked_for_while_the_server_ends_is_refused_for_now(
    api: KubernetesApi, logs: Logs, server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.end_streams()
    refused = api.get("pods", "p", "log", container="main")
    assert (refused.code, refused.body["reason"]) == (503, "ServiceUnavailable")
    assert "Traceback" not in caplog.text


def test_the_log_of_a_container_that_waits_says_so(api: KubernetesApi, logs: Logs, store: ObjectStore) -> None:
    waiting = {"name": "main", "state": {"waiting": {"reason": "ContainerCreating"}}}
    store.modify("pods", "ns", "p", lambda pod: pod["status"].update(containerStatuses=[waiting]), subresource="status")
    refused = api.get("pods", "p", "log", container="main")
    assert refused.body["message"] == 'container "main" in pod "p" is waiting to start: ContainerCreating'


def test_a_token_with_less_rights_gets_less(server: ApiServer, certificates: Certificates) -> None:
    api = KubernetesApi(server.url, certificates.ca_file, "some", "ns")
    assert api.list("pods").code == 200
    refused = api.create("configmaps", {"metadata": {"name": "a"}})
    assert refused.code == 403
    assert refused.body["message"] == (
        'configmaps is forbidden: User "reader" cannot create resource "configmaps" in API group "" '
        'in the namespace "ns"'
    )
    wish = {"spec": {"resourceAttributes": {"verb": "create", "resource": "pods", "namespace": "ns"}}}
    review = api.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", wish)
    assert review.body["status"]["allowed"] is False
    api.session.close()


def test_a_review_says_what_the_token_grants(server: ApiServer, certificates: Certificates) -> None:
    leases, jobs = ({"group": "coordination.k8s.io", "resource": "leases"}, {"group": "batch", "resource": "jobs"})
    cases: list[tuple[str, dict[str, str], bool]] = [
        ("some", {"verb": "list", **jobs, "namespace": "ns"}, True),
        ("some", {"verb": "get", "resource": "pods", "subresource": "log", "namespace": "ns"}, True),
        ("some", {"verb": "create", **jobs, "namespace": "ns"}, False),
        ("some", {"verb": "list", **jobs, "namespace": "other"}, False),
        ("some", {"verb": "list", **jobs}, False),
        ("some", {"verb": "*", "resource": "pods", "namespace": "ns"}, False),
        ("some", {"verb": "update", **leases, "namespace": "ns"}, False),
        ("own", {"verb": "update", **leases, "namespace": "ns"}, True),
        ("own", {"verb": "*", "group": "*", "resource": "*", "namespace": "ns"}, True),
        ("own", {"verb": "create", **jobs, "namespace": "other"}, False),
        ("own", {"verb": "delete", "resource": "namespaces", "namespace": "ns", "name": "ns"}, False),
        ("all", {"verb": "delete", "resource": "namespaces", "namespace": "ns", "name": "ns"}, True),
    ]
    for token, wish, allowed in cases:
        with closing(KubernetesApi(server.url, certificates.ca_file, token, "ns").session) as session:
            answer = session.post(
                server.url + "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                json={"spec": {"resourceAttributes": wish}},
                timeout=10,
            )
        assert answer.status_code == 201
        assert answer.json()["status"]["allowed"] is allowed, (token, wish)


def test_strict_validation_names_unknown_fields_and_the_default_warns(api: KubernetesApi) -> None:
    manifest = {"metadata": {"name": "a"}, "dta": {}}
    refused = api.create("configmaps", manifest, fieldValidation="Strict")
    assert refused.code == 400
    assert 'strict decoding error: unknown field "dta"' in refused.body["message"]
    url = api.url + api.path("configmaps")
    answer = api.session.post(url, json=manifest, timeout=10)
    assert answer.headers["warning"] == '299 - "unknown field(s): dta"'


def test_yaml_is_read_and_other_formats_are_not(api: KubernetesApi) -> None:
    url, headers = api.url + api.path("configmaps"), {"Content-Type": "application/yaml"}
    answer = api.session.post(url, data="metadata: {name: y}\ndata: {a: b}\n", headers=headers, timeout=10)
    assert answer.json()["data"] == {"a": "b"}
    answer = api.session.post(url, data="{", headers={"Content-Type": "application/json"}, timeout=10)
    assert (answer.status_code, answer.json()["reason"]) == (400, "BadRequest")
    answer = api.session.post(url, data="x", headers={"Content-Type": "application/cbor"}, timeout=10)
    assert answer.status_code == 415
    answer = api.session.get(url, headers={"Accept": "text/html"}, timeout=10)
    assert answer.status_code == 406


def test_a_pod_is_bound_through_its_subresource(api: KubernetesApi, store: ObjectStore) -> None:
    store.create("pods", "ns", {"metadata": {"name": "b"}, "spec": {"containers": [{"name": "c", "image": "x"}]}})
    binding = {"metadata": {"name": "b"}, "target": {"kind": "Node", "name": "node-1"}}
    assert api.call("POST", api.path("pods", "b", "binding"), binding).code == 201
    assert store.get("pods", "ns", "b")["spec"]["nodeName"] == "node-1"


def test_an_expired_watch_is_told_in_the_stream(api: KubernetesApi) -> None:
    with api.watch("pods", resourceVersion="999999") as events:
        error = next(events)
    assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_stopping_ends_watches_at_once(api: KubernetesApi, server: ApiServer, store: ObjectStore) -> None:
    with api.watch("configmaps", timeoutSeconds=60) as events:
        store.create("configmaps", "ns", {"metadata": {"name": "a"}})
        assert next(events)["type"] == "ADDED"
        server.stop()
        assert list(events) == []
    with pytest.raises(requests.exceptions.ConnectionError):
        api.list("pods")


def test_the_store_forgets_a_watcher_that_left(api: KubernetesApi, store: ObjectStore) -> None:
    with api.watch("configmaps", timeoutSeconds=60) as events:
        store.create("configmaps", "ns", {"metadata": {"name": "a"}})
        next(events)
        assert len(store._subscriptions) == 1

    def forgotten() -> bool:
        store.patch("configmaps", "ns", "a", {"data": {"n": store.resource_version}})
        return not store._subscriptions

    wait_until(forgotten, 30, what="the end of the subscription")


def test_a_taken_port_is_an_error(server: ApiServer, store: ObjectStore, certificates: Certificates) -> None:
    with pytest.raises(OSError, match="in use"):
        ApiServer(store, Access({}), certificates, port=server.port)


def test_the_official_client_creates_lists_and_watches(server: ApiServer, certificates: Certificates) -> None:
    configuration: Any = kubernetes.client.Configuration()
    configuration.host = server.url
    configuration.ssl_ca_cert = str(certificates.ca_file)
    configuration.api_key = {"authorization": "Bearer all"}
    configuration.no_proxy = "*"
    with kubernetes.client.ApiClient(configuration) as client:
        core: Any = kubernetes.client.CoreV1Api(client)
        batch: Any = kubernetes.client.BatchV1Api(client)
        template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}
        job = batch.create_namespaced_job("ns", {"metadata": {"name": "j"}, "spec": {"template": template}})
        assert job.spec.backoff_limit == 6
        for name in ("a", "b"):
            core.create_namespaced_config_map("ns", {"metadata": {"name": name}})
        listed = core.list_namespaced_config_map("ns", limit=1)
        assert (listed.items[0].metadata.name, listed.metadata.remaining_item_count) == ("a", 1)
        watch: Any = kubernetes.watch
        watching = watch.Watch()
        names = []
        for event in watching.stream(core.list_namespaced_config_map, "ns", timeout_seconds=20):
            names.append((event["type"], event["object"].metadata.name))
            if len(names) == 2:
                core.delete_namespaced_config_map("a", "ns")
            if len(names) == 3:
                watching.stop()
        assert names == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
        with pytest.raises(kubernetes.client.ApiException) as caught:
            core.read_namespaced_config_map("a", "ns")
        assert caught.value.status == 404


def test_the_certificate_names_this_machine_only(certificates: Certificates, server: ApiServer, tmp_path: Path) -> None:
    other = ensure_certificates(tmp_path)
    with requests.Session() as session:
        session.trust_env = False
        assert session.get(server.url + "/livez", verify=str(certificates.ca_file), timeout=10).text == "ok"
        with pytest.raises(requests.exceptions.SSLError):
            session.get(server.url + "/livez", verify=str(other.ca_file), timeout=10)
