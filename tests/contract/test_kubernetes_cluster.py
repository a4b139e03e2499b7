"""Our client and reflector against the embedded cluster and a real one: the same answers from both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lando.config import ClusterSettings
from lando.errors import Conflict, NotFound, Rejected, Unavailable
from lando.k8s.cluster import KubernetesCluster
from lando.k8s.reflector import Change, Reflector
from tests.services.kubernetes_api import KubernetesApi

Made = dict[str, Any]


@pytest.fixture
def settings(api: KubernetesApi) -> ClusterSettings:
    token = str(api.session.headers["Authorization"]).partition(" ")[2]
    return ClusterSettings(namespace=api.namespace, host=api.url, token=token, ssl_ca_cert=str(api.ca_file))


@pytest.fixture
def cluster(settings: ClusterSettings) -> Iterator[KubernetesCluster]:
    with KubernetesCluster(settings) as cluster:
        yield cluster


def config_map(name: str, **labels: str) -> Made:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}, "data": {"a": "b"}}


def test_an_object_is_made_read_changed_and_deleted(cluster: KubernetesCluster) -> None:
    made = cluster.create(config_map("one"))
    assert cluster.get("ConfigMap", "one")["metadata"]["uid"] == made["metadata"]["uid"]
    patched = cluster.patch("ConfigMap", "one", {"metadata": {"annotations": {"x": "y"}}, "data": {"a": None}})
    assert patched["metadata"]["annotations"] == {"x": "y"}
    assert not patched.get("data")
    cluster.delete("ConfigMap", "one", uid=made["metadata"]["uid"])
    with pytest.raises(NotFound):
        cluster.get("ConfigMap", "one")
    with pytest.raises(NotFound):
        cluster.delete("ConfigMap", "one")


def test_a_taken_name_is_a_conflict(cluster: KubernetesCluster) -> None:
    cluster.create(config_map("one"))
    with pytest.raises(Conflict) as caught:
        cluster.create(config_map("one"))
    assert caught.value.reason == "AlreadyExists"


def test_another_objects_uid_is_a_conflict_for_delete_and_patch(cluster: KubernetesCluster) -> None:
    cluster.create(config_map("one"))
    with pytest.raises(Conflict):
        cluster.delete("ConfigMap", "one", uid="00000000-0000-4000-8000-000000000000")
    with pytest.raises((Conflict, Rejected)):  # which of the two depends on the version
        cluster.patch("ConfigMap", "one", {"metadata": {"uid": "00000000-0000-4000-8000-000000000000"}})
    assert cluster.get("ConfigMap", "one")


def test_what_validation_refuses_is_rejected(cluster: KubernetesCluster) -> None:
    with pytest.raises(Rejected, match="Not_Valid"):
        cluster.create(config_map("Not_Valid"))


def test_a_wrong_token_and_an_untrusted_certificate_are_unavailable(settings: ClusterSettings) -> None:
    common = {"namespace": settings.namespace, "host": settings.host}
    with (
        KubernetesCluster(ClusterSettings(**common, token="wrong", ssl_ca_cert=settings.ssl_ca_cert)) as wrong,  # type: ignore[arg-type]
        pytest.raises(Unavailable) as caught,
    ):
        wrong.get("ConfigMap", "one")
    assert caught.value.status == 401
    with (
        KubernetesCluster(ClusterSettings(**common, token=settings.token)) as untrusted,  # type: ignore[arg-type]
        pytest.raises(Unavailable, match=r"set cluster_api_settings.ssl_ca_cert"),
    ):
        untrusted.get("ConfigMap", "one")


def test_a_namespace_that_does_not_exist_is_unavailable(settings: ClusterSettings) -> None:
    elsewhere = ClusterSettings(
        namespace="no-such-namespace", host=settings.host, token=settings.token, ssl_ca_cert=settings.ssl_ca_cert
    )
    with KubernetesCluster(elsewhere) as cluster, pytest.raises(Unavailable, match="no-such-namespace"):
        cluster.create(config_map("one"))


def test_lists_come_in_pages_and_by_label(cluster: KubernetesCluster) -> None:
    for n in range(5):
        cluster.create(config_map(f"n{n}", odd=str(n % 2)))

    names, token = [], None
    for _ in range(9):
        page = cluster.list_page("ConfigMap", "odd", limit=2, continue_token=token)
        names += [item["metadata"]["name"] for item in page.items]
        token = page.continue_token
        if token is None:
            break
    assert names == [f"n{n}" for n in range(5)]
    odd = cluster.list("ConfigMap", "odd=1")
    assert [(item["kind"], item["metadata"]["name"]) for item in odd] == [("ConfigMap", "n1"), ("ConfigMap", "n3")]
    assert [item["metadata"]["name"] for item in cluster.list("ConfigMap", "odd", "metadata.name=n4")] == ["n4"]


def test_a_watch_is_closed_from_another_thread_at_once(cluster: KubernetesCluster) -> None:
    page = cluster.list_page("ConfigMap", "mine=1")
    watch = cluster.watch("ConfigMap", "mine=1", page.resource_version, timeout_s=60)
    seen: list[str] = []
    first = threading.Event()

    def read() -> None:
        for event in watch:
            seen.append(event["type"])
            first.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    cluster.create(config_map("mine", mine="1"))
    assert first.wait(10)
    watch.close()
    reader.join(5)
    assert not reader.is_alive()
    assert seen == ["ADDED"]


class Seen:
    """Changes as they are told."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._changes: list[tuple[str, str]] = []

    def __call__(self, change: Change) -> None:
        with self._changed:
            self._changes.append((change.type.value, change.object["metadata"]["name"]))
            self._changed.notify_all()

    def wait_for(self, *wanted: tuple[str, str]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._changes[-len(wanted) :] == list(wanted), 10), self._changes


def test_a_reflector_follows_what_happens_and_stops_at_once(cluster: KubernetesCluster) -> None:
    cluster.create(config_map("there", mine="1"))
    cluster.create(config_map("foreign"))
    seen = Seen()
    reflector = Reflector(cluster, "ConfigMap", seen, label_selector="mine")
    thread = threading.Thread(target=reflector.run, daemon=True)
    thread.start()
    seen.wait_for(("ADDED", "there"))
    steps: list[tuple[Callable[[], Any], tuple[str, str]]] = [
        (lambda: cluster.create(config_map("new", mine="2")), ("ADDED", "new")),
        (lambda: cluster.patch("ConfigMap", "new", {"data": {"c": "d"}}), ("MODIFIED", "new")),
        (lambda: cluster.patch("ConfigMap", "there", {"metadata": {"labels": {"mine": None}}}), ("DELETED", "there")),
        (lambda: cluster.delete("ConfigMap", "new"), ("DELETED", "new")),
    ]
    for act, told in steps:
        act()
        seen.wait_for(told)
    assert reflector.objects() == []
    assert reflector.healthy()
    reflector.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_warnings_can_be_listed_and_watched_by_type(cluster: KubernetesCluster) -> None:
    page = cluster.list_page("Event", field_selector="type=Warning")
    assert page.items == []
    about = {"kind": "Job", "name": "j", "namespace": cluster.namespace, "uid": "u"}
    for kind in ("Normal", "Warning"):
        cluster.create(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": kind.lower()},
                "involvedObject": about,
                "type": kind,
                "reason": "FailedCreate",
                "message": "m",
            }
        )
    watch = cluster.watch("Event", "", page.resource_version, timeout_s=10, field_selector="type=Warning")
    assert next(watch)["object"]["metadata"]["name"] == "warning"
    watch.close()
