"""The cluster's small controllers: namespaces, protection of claims in use, expiry of events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from lando.local.controllers.reconciling import Controller, Follower, Informer, Key, key_of
from lando.local.rules.claims import PROTECTION
from lando.local.rules.kinds import KINDS
from lando.local.rules.lifecycle import NAMESPACE_FINALIZER
from lando.local.rules.status import ApiError, Manifest
from lando.local.store.objects import ObjectStore
from lando.local.store.watching import Subscription

EVENT_LIFETIME = timedelta(hours=1)
"""As long as the real API server keeps events."""


class NamespaceController(Controller):
    """Gives each namespace its default service account; empties one that is being deleted, then lets it go."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        contents = Follower("namespace-contents", lambda: store.watch(None), self._follow)
        super().__init__("namespaces", self._reconcile, [contents])

    def _follow(self, subscription: Subscription) -> None:
        """Look at a namespace when it changes and when something in it goes."""
        for event in subscription:
            if event.resource == "namespaces" and event.type != "DELETED":
                self.queue.add(("", event.name))
            elif event.type == "DELETED" and event.namespace:
                self.queue.add(("", event.namespace))

    def _reconcile(self, key: Key) -> None:
        name = key[1]
        namespace = self._store.find("namespaces", "", name)
        if namespace is None:
            return
        if "deletionTimestamp" in namespace["metadata"]:
            if not self._empty(name):
                self._store.modify("namespaces", "", name, _finalize, subresource="finalize")
        elif self._store.find("serviceaccounts", name, "default") is None:
            self._store.create("serviceaccounts", name, {"metadata": {"name": "default"}})

    def _empty(self, namespace: str) -> bool:
        """Delete all that is in ``namespace``; True while something of it is left."""
        for kind in (kind for kind in KINDS if kind.namespaced):
            for item in self._store.list(kind.resource, namespace).items:
                metadata = item["metadata"]
                if "deletionTimestamp" not in metadata:
                    _unless_gone(self._delete, kind.resource, namespace, metadata["name"])
        return any(self._store.list(kind.resource, namespace, limit=1).raw_items for kind in KINDS if kind.namespaced)

    def _delete(self, resource: str, namespace: str, name: str) -> None:
        self._store.delete(resource, namespace, name, propagation="Background")


def _finalize(namespace: Manifest) -> None:
    finalizers = namespace["spec"].get("finalizers", [])
    namespace["spec"]["finalizers"] = [name for name in finalizers if name != NAMESPACE_FINALIZER]


class ClaimProtection(Controller):
    """Lets a claim that is being deleted go once no pod that was assigned to a node refers to it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        sources = (
            Informer(store, "persistentvolumeclaims", self._on_claim),
            Informer(store, "pods", self._on_pod),
        )
        super().__init__("claim-protection", self._reconcile, sources)

    def _on_claim(self, change: str, claim: Manifest) -> None:
        if change != "DELETED" and "deletionTimestamp" in claim["metadata"]:
            self.queue.add(key_of(claim))

    def _on_pod(self, change: str, pod: Manifest) -> None:
        if change == "DELETED":
            for name in _claims_of(pod):
                self.queue.add((pod["metadata"]["namespace"], name))

    def _reconcile(self, key: Key) -> None:
        claim = self._store.find("persistentvolumeclaims", *key)
        if claim is None or "deletionTimestamp" not in claim["metadata"]:
            return
        namespace, name = key
        pods = self._store.list("pods", namespace).items
        if not any(pod["spec"].get("nodeName") and name in _claims_of(pod) for pod in pods):
            uid = claim["metadata"]["uid"]
            _unless_gone(lambda: self._store.modify("persistentvolumeclaims", namespace, name, _unprotect, uid=uid))


def _claims_of(pod: Manifest) -> list[str]:
    volumes = pod["spec"].get("volumes") or []
    return [volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume]


def _unprotect(claim: Manifest) -> None:
    metadata = claim["metadata"]
    metadata["finalizers"] = [name for name in metadata.get("finalizers", []) if name != PROTECTION]


class EventExpiry(Controller):
    """Deletes events some time after they were last seen, so that they do not pile up."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        lifetime: timedelta = EVENT_LIFETIME,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._lifetime = lifetime
        self._clock = clock
        super().__init__("event-expiry", self._reconcile, [Informer(store, "events", self._on_event)])

    def _on_event(self, change: str, event: Manifest) -> None:
        if change == "ADDED":
            self.queue.add(key_of(event), self._remaining_s(event))

    def _reconcile(self, key: Key) -> float | None:
        event = self._store.find("events", *key)
        if event is None:
            return None
        remaining_s = self._remaining_s(event)
        if remaining_s > 0:
            return remaining_s
        _unless_gone(self._store.delete, "events", *key)
        return None

    def _remaining_s(self, event: Manifest) -> float:
        seen = event.get("lastTimestamp") or event["metadata"]["creationTimestamp"]
        return (datetime.fromisoformat(seen) + self._lifetime - self._clock()).total_seconds()


def _unless_gone(call: Callable[..., object], *arguments: str) -> None:
    try:
        call(*arguments)
    except ApiError as error:
        if error.code not in (404, 409):
            raise
