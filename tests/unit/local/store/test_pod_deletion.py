"""The grace period of pods, and what finalizers make of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from lando.local.rules.status import ApiError
from lando.local.store.objects import ObjectStore

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def frozen() -> ObjectStore:
    store = ObjectStore(None, clock=lambda: NOW)
    store.create("namespaces", "", {"metadata": {"name": "ns"}})
    return store


def pod(store: ObjectStore, *, node: str = "node-1", phase: str = "Running", **metadata: Any) -> None:
    spec = {"containers": [{"name": "c", "image": "x"}], "terminationGracePeriodSeconds": 20}
    store.create("pods", "ns", {"metadata": {"name": "p", **metadata}, "spec": spec})
    if node:
        store.modify("pods", "ns", "p", lambda item: item["spec"].update(nodeName=node), subresource="binding")
        store.modify("pods", "ns", "p", lambda item: item["status"].update(phase=phase), subresource="status")


def test_a_running_pod_gets_its_grace_period_and_goes_when_its_kubelet_says_so(frozen: ObjectStore) -> None:
    pod(frozen)
    deletion = frozen.delete("pods", "ns", "p")
    metadata = deletion.manifest["metadata"]
    assert not deletion.gone
    assert metadata["deletionGracePeriodSeconds"] == 20
    assert metadata["deletionTimestamp"] == (NOW + timedelta(seconds=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert frozen.delete("pods", "ns", "p", grace_period_s=0).gone
    assert frozen.find("pods", "ns", "p") is None


def test_a_grace_period_can_only_become_shorter(frozen: ObjectStore) -> None:
    pod(frozen)
    frozen.delete("pods", "ns", "p")
    version = frozen.get("pods", "ns", "p")["metadata"]["resourceVersion"]
    frozen.delete("pods", "ns", "p", grace_period_s=60)
    assert frozen.get("pods", "ns", "p")["metadata"]["resourceVersion"] == version
    frozen.delete("pods", "ns", "p", grace_period_s=5)
    assert frozen.get("pods", "ns", "p")["metadata"]["deletionGracePeriodSeconds"] == 5


@pytest.mark.parametrize(("node", "phase"), [("", "Pending"), ("node-1", "Succeeded"), ("node-1", "Failed")])
def test_a_pod_that_nothing_runs_goes_at_once(frozen: ObjectStore, node: str, phase: str) -> None:
    pod(frozen, node=node, phase=phase)
    assert frozen.delete("pods", "ns", "p").gone


def test_a_finalizer_holds_a_pod_beyond_its_kubelets_last_word(frozen: ObjectStore) -> None:
    pod(frozen, finalizers=["test.lando/hold"])
    frozen.delete("pods", "ns", "p")
    assert not frozen.delete("pods", "ns", "p", grace_period_s=0).gone
    frozen.patch("pods", "ns", "p", {"metadata": {"finalizers": None}})
    assert frozen.find("pods", "ns", "p") is None


def test_removing_the_finalizer_does_not_cut_the_grace_period_short(frozen: ObjectStore) -> None:
    pod(frozen, finalizers=["test.lando/hold"])
    frozen.delete("pods", "ns", "p")
    frozen.patch("pods", "ns", "p", {"metadata": {"finalizers": None}})
    assert frozen.find("pods", "ns", "p") is not None


def test_a_pod_is_bound_once(frozen: ObjectStore) -> None:
    pod(frozen)
    with pytest.raises(ApiError, match="already assigned to node") as caught:
        frozen.modify("pods", "ns", "p", lambda item: item["spec"].update(nodeName="other"), subresource="binding")
    assert caught.value.code == 409


def test_deleting_a_job_without_a_policy_orphans_its_pods(frozen: ObjectStore) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}
    frozen.create("jobs", "ns", {"metadata": {"name": "j"}, "spec": {"template": template}})
    deletion = frozen.delete("jobs", "ns", "j")
    assert not deletion.gone
    assert deletion.manifest["metadata"]["finalizers"] == ["orphan"]
    assert deletion.manifest["metadata"]["generation"] == 2
