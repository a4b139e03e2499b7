"""Namespaces, claims in use, old events, and owners that go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from lando.local.controllers.caretakers import ClaimProtection, EventExpiry, NamespaceController
from lando.local.controllers.garbage_collector import GarbageCollector
from lando.local.store.objects import ObjectStore
from tests.services.providing import wait_until


class Startable(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


@contextmanager
def running(controller: Startable) -> Iterator[None]:
    controller.start()
    try:
        yield
    finally:
        controller.stop()


def gone(store: ObjectStore, resource: str, name: str, namespace: str = "ns") -> Callable[[], bool]:
    return lambda: store.find(resource, namespace, name) is None


def config(store: ObjectStore, name: str, owner: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    if owner is not None:
        uid = owner["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"], "uid": uid}
        metadata["ownerReferences"] = [{**reference, "blockOwnerDeletion": True}]
    return store.create("configmaps", "ns", {"metadata": {"name": name, **metadata}})


def test_each_namespace_gets_a_default_account(store: ObjectStore) -> None:
    with running(NamespaceController(store)):
        store.create("namespaces", "", {"metadata": {"name": "other"}})
        wait_until(lambda: len(store.list("serviceaccounts").raw_items) == 2)
    names = {item["metadata"]["namespace"] for item in store.list("serviceaccounts").items}
    assert names == {"ns", "other"}


def test_a_namespace_waits_for_the_last_of_its_contents(store: ObjectStore) -> None:
    config(store, "held", finalizers=["test.lando/hold"])
    config(store, "free")
    with running(NamespaceController(store)):
        store.delete("namespaces", "", "ns")
        wait_until(gone(store, "configmaps", "free"))
        assert store.get("namespaces", "", "ns")["status"]["phase"] == "Terminating"
        store.patch("configmaps", "ns", "held", {"metadata": {"finalizers": None}})
        wait_until(gone(store, "namespaces", "ns", ""))


def test_a_claim_goes_only_after_the_last_pod_that_names_it(store: ObjectStore) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    store.create("persistentvolumeclaims", "ns", {"metadata": {"name": "data"}, "spec": spec})
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    containers = [{"name": "c", "image": "x"}]
    for name in ("bound", "waiting"):
        pod = {"metadata": {"name": name}, "spec": {"containers": containers, "volumes": [volume]}}
        store.create("pods", "ns", pod)
    store.modify("pods", "ns", "bound", lambda pod: pod["spec"].update(nodeName="n"), subresource="binding")
    with running(ClaimProtection(store)):
        assert not store.delete("persistentvolumeclaims", "ns", "data").gone
        store.delete("pods", "ns", "bound")
        assert "deletionTimestamp" in store.get("persistentvolumeclaims", "ns", "data")["metadata"]
        store.delete("pods", "ns", "bound", grace_period_s=0)
        wait_until(gone(store, "persistentvolumeclaims", "data"))
    assert store.find("pods", "ns", "waiting") is not None


def test_old_events_are_removed_and_those_seen_again_kept(store: ObjectStore) -> None:
    now = datetime(2030, 1, 1, 12, tzinfo=UTC)
    for name, last in (("old", now - timedelta(hours=2)), ("new", now - timedelta(minutes=5))):
        store.create(
            "events",
            "ns",
            {
                "metadata": {"name": name},
                "involvedObject": {"namespace": "ns", "name": "p"},
                "lastTimestamp": last.strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
        )
    with running(EventExpiry(store, clock=lambda: now)):
        wait_until(gone(store, "events", "old"))
    assert store.find("events", "ns", "new") is not None


def test_what_was_orphaned_while_nobody_collected_is_found_at_the_start(store: ObjectStore) -> None:
    owner = config(store, "owner")
    middle = config(store, "middle", owner)
    config(store, "leaf", middle)
    config(store, "unrelated")
    store.delete("configmaps", "ns", "owner")
    with running(GarbageCollector(store)):
        wait_until(lambda: gone(store, "configmaps", "middle")() and gone(store, "configmaps", "leaf")())
    assert store.find("configmaps", "ns", "unrelated") is not None


def test_another_object_of_the_owners_name_is_not_the_owner(store: ObjectStore) -> None:
    owner = config(store, "owner")
    config(store, "dependent", owner)
    store.delete("configmaps", "ns", "owner")
    config(store, "owner")
    with running(GarbageCollector(store)):
        wait_until(gone(store, "configmaps", "dependent"))


def test_an_owner_of_a_kind_not_known_here_is_taken_to_be_there(store: ObjectStore) -> None:
    config(store, "owner")
    reference = {"apiVersion": "example.com/v1", "kind": "Thing", "name": "t", "uid": "u"}
    store.create("configmaps", "ns", {"metadata": {"name": "kept", "ownerReferences": [reference]}})
    stale = {**reference, "apiVersion": "v1", "kind": "ConfigMap", "uid": "v"}
    store.create("configmaps", "ns", {"metadata": {"name": "lost", "ownerReferences": [stale]}})
    with running(GarbageCollector(store)):
        wait_until(gone(store, "configmaps", "lost"))
    assert store.find("configmaps", "ns", "kept") is not None


def test_a_foreground_deletion_goes_on_after_a_restart_of_the_collector(store: ObjectStore) -> None:
    owner = config(store, "owner")
    config(store, "held", owner, finalizers=["test.lando/hold"])
    with running(GarbageCollector(store)):
        store.delete("configmaps", "ns", "owner", propagation="Foreground")
        wait_until(lambda: "deletionTimestamp" in store.get("configmaps", "ns", "held")["metadata"])
    assert store.find("configmaps", "ns", "owner") is not None
    store.patch("configmaps", "ns", "held", {"metadata": {"finalizers": None}})
    with running(GarbageCollector(store)):
        wait_until(gone(store, "configmaps", "owner"))


def test_many_dependents_go_at_once(store: ObjectStore) -> None:
    owner = config(store, "owner")
    for number in range(300):
        config(store, f"d{number}", owner)
    with running(GarbageCollector(store)):
        store.delete("configmaps", "ns", "owner")
        wait_until(lambda: not store.list("configmaps", "ns").raw_items)
