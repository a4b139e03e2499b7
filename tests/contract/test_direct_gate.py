"""What stands before a direct run, asked of both clusters: its Lease, its checks, its resources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import pytest
from lando.config import ClusterSettings
from lando.direct import resources
from lando.direct.lease import Lease
from lando.direct.lease_record import Completion
from lando.direct.preflight import check
from lando.errors import NotFound, Refused
from lando.k8s.cluster import KubernetesCluster
from lando.phases.model import Model, Resource
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until
from tests.unit.direct.running import entry, manifest, model

Made = dict[str, Any]


@pytest.fixture
def cluster(api: KubernetesApi) -> Iterator[KubernetesCluster]:
    token = str(api.session.headers["Authorization"]).partition(" ")[2]
    settings = ClusterSettings(namespace=api.namespace, host=api.url, token=token, ssl_ca_cert=str(api.ca_file))
    with KubernetesCluster(settings) as cluster:
        yield cluster


def lease_of(cluster: KubernetesCluster, *jobs: str) -> Lease:
    return Lease(cluster, jobs, tell=lambda _sentence: None)


def with_resources(of: Model, *manifests: Made) -> Model:
    return replace(
        of, resources=tuple(Resource(path=f"{one['metadata']['name']}.yaml", manifest=one) for one in manifests)
    )


def test_a_lease_is_taken_renewed_noted_in_and_let_go(cluster: KubernetesCluster) -> None:
    first = lease_of(cluster, "a", "b")
    assert first.acquire(Event())
    assert first.renew()
    first.note({"a": Completion(uid="u", digest="d" * 64, duration_s=1.5)})
    cluster.patch("Lease", first.name, {"metadata": {"annotations": {"note": "a stranger's"}}})
    assert first.renew()
    first.release()

    second = lease_of(cluster, "b", "c")  # another model
    assert second.acquire(Event())
    third = lease_of(cluster, "a", "b", "d")
    with pytest.raises(Refused, match=f"some of these Jobs .*{second.name}"):
        third.acquire(Meanwhile(second))
    second.release()
    assert third.acquire(Event())
    assert set(third.complete) == {"a"}


class Meanwhile:
    """A stop that is never told; while somebody waits for it, another holder gives a sign of life."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def wait(self, timeout: float) -> bool:
        assert self._lease.renew()
        return False


def test_what_the_lease_owns_goes_with_it(cluster: KubernetesCluster) -> None:
    lease = lease_of(cluster, "a")
    assert lease.acquire(Event())
    metadata = {"name": "settings"}
    settings: Made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1", "b": "2"}}
    login: Made = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"p": "x"}}
    wanted = with_resources(model([entry("a")]), settings, login)

    assert [resources.apply(one, wanted, cluster, lease.owner) for one in wanted.resources] == [True, True]
    assert [resources.apply(one, wanted, cluster, lease.owner) for one in wanted.resources] == [False, False]
    changed = with_resources(wanted, {**settings, "data": {"b": "3"}})
    assert resources.apply(changed.resources[0], changed, cluster, lease.owner)
    assert cluster.get("ConfigMap", "settings")["data"] == {"b": "3"}

    lease.delete()
    with pytest.raises(NotFound):
        cluster.get("Lease", lease.name)


def test_the_checks_find_what_the_cluster_will_refuse_and_leave_nothing(cluster: KubernetesCluster) -> None:
    cluster.create(manifest("taken"))
    wrong = entry("wrong")
    wrong.jobs[0].manifest["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    robot = entry("robot")
    robot.jobs[0].manifest["spec"]["template"]["spec"]["serviceAccountName"] = "robot"

    found = check(model([entry("good"), wrong, entry("taken"), robot]), cluster)

    assert [one.entry for one in found] == ["wrong", "taken", "robot"]
    assert "spec.template.spec.restartPolicy" in found[0].reason
    assert "no label jobernetes_job_name" in found[1].reason
    assert "no ServiceAccount robot" in found[2].reason
    assert [one["metadata"]["name"] for one in cluster.list("Job")] == ["taken"]


def test_the_checks_know_what_a_quota_will_forbid(cluster: KubernetesCluster) -> None:
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"limits.cpu": "1", "count/jobs.batch": "2"}}}
    cluster.create({"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    wait_until(lambda: cluster.get("ResourceQuota", "small").get("status", {}).get("hard"))
    large = entry("large")
    container = large.jobs[0].manifest["spec"]["template"]["spec"]["containers"][0]
    container["resources"] = {"limits": {"cpu": "2"}}

    found = check(model([large, entry("plain"), entry("third")]), cluster)

    assert [one.entry for one in found] == ["large", "plain", "third", ""]
    assert "limits.cpu 2 of at most 1" in found[0].reason
    assert "limits.cpu for: main" in found[1].reason
    assert "allows 2 Jobs (count/jobs.batch), but 3" in found[3].reason


def test_a_namespace_that_is_not_there_is_told_once(cluster: KubernetesCluster, api: KubernetesApi) -> None:
    token = str(api.session.headers["Authorization"]).partition(" ")[2]
    settings = ClusterSettings(namespace="nowhere", host=api.url, token=token, ssl_ca_cert=str(api.ca_file))
    with KubernetesCluster(settings) as elsewhere:
        (found,) = check(model([entry("a"), entry("b")]), elsewhere)
    assert found.reason.startswith("there is no namespace nowhere")
