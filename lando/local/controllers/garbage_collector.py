"""Garbage collection: what an object owns goes when its owner goes, by the owner's propagation policy.

One thread keeps the graph of owners and dependents from the store's changes, one worker acts on it. The graph only
says where to look; whether an owner is there is always read from the store.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from lando.local.controllers.reconciling import Controller, Follower, Key
from lando.local.rules.kinds import BY_KIND
from lando.local.rules.lifecycle import FOREGROUND, ORPHAN
from lando.local.rules.status import ApiError, Manifest
from lando.local.store.objects import ObjectStore, Propagation
from lando.local.store.watching import Event, Subscription

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Node:
    resource: str
    namespace: str
    name: str
    owners: frozenset[str]
    """The uids of its owners."""


@dataclass(slots=True)
class _Graph:
    nodes: dict[str, _Node] = field(default_factory=dict)
    dependents: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def put(self, uid: str, node: _Node) -> frozenset[str]:
        """Record ``node``; returns the uids of the owners it had and has no more."""
        old = self.nodes.get(uid)
        before = old.owners if old is not None else frozenset()
        self.nodes[uid] = node
        for owner in node.owners - before:
            self.dependents[owner].add(uid)
        self._unlink(uid, before - node.owners)
        return before - node.owners

    def drop(self, uid: str) -> frozenset[str]:
        """Forget a node; returns the uids of its owners."""
        node = self.nodes.pop(uid, None)
        if node is None:
            return frozenset()
        self._unlink(uid, node.owners)
        return node.owners

    def _unlink(self, uid: str, owners: frozenset[str]) -> None:
        for owner in owners:
            self.dependents[owner].discard(uid)
            if not self.dependents[owner]:
                del self.dependents[owner]


class GarbageCollector(Controller):
    """Deletes dependents whose owners are gone, and sees Foreground and Orphan deletions through."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._graph = _Graph()
        changes = Follower("garbage-graph", lambda: store.watch(None), self._follow)
        super().__init__("garbage-collector", self._reconcile, [changes])

    # -- the graph ---------------------------------------------------------------------------------------------------

    def _follow(self, subscription: Subscription) -> None:
        """Build the graph from what is there, then keep it. Nothing is acted on before it is whole."""
        graph, remaining, concerned = _Graph(), subscription.initial, set[str]()
        if remaining == 0:
            self._replace(graph, concerned)
        for event in subscription:
            if remaining > 0:
                concerned |= _record(graph, event)
                remaining -= 1
                if remaining == 0:
                    self._replace(graph, concerned)
            else:
                with self._lock:
                    concerned = _record(graph, event)
                for uid in concerned:
                    self._look_at(uid)

    def _replace(self, graph: _Graph, concerned: set[str]) -> None:
        with self._lock:
            self._graph = graph
        for uid in concerned:
            self._look_at(uid)

    def _look_at(self, uid: str) -> None:
        self.queue.add(("", uid))

    # -- acting on it ------------------------------------------------------------------------------------------------

    def _reconcile(self, key: Key) -> None:
        uid = key[1]
        with self._lock:
            node = self._graph.nodes.get(uid)
            dependents = sorted(self._graph.dependents.get(uid, ()))
        if node is None:
            for dependent in dependents:
                self._look_at(dependent)
            return
        manifest = self._store.find(node.resource, node.namespace, node.name)
        if manifest is None or manifest["metadata"]["uid"] != uid:
            return
        metadata = manifest["metadata"]
        finalizers = metadata.get("finalizers", [])
        if "deletionTimestamp" in metadata and ORPHAN in finalizers:
            self._orphan(node, uid, dependents)
        elif "deletionTimestamp" in metadata and FOREGROUND in finalizers:
            self._finish_foreground(node, uid, dependents)
        if "deletionTimestamp" not in metadata and metadata.get("ownerReferences"):
            self._check_owners(node, manifest, has_dependents=bool(dependents))

    def _orphan(self, owner: _Node, uid: str, dependents: list[str]) -> None:
        for node, dependent in self._present(dependents):
            self._drop_references(node, dependent["metadata"]["uid"], {uid})
        self._remove_finalizer(owner, uid, ORPHAN)

    def _finish_foreground(self, owner: _Node, uid: str, dependents: list[str]) -> None:
        """Delete the dependents; let the owner go when none that blocks it is left."""
        blocked = False
        for _, dependent in self._present(dependents):
            metadata = dependent["metadata"]
            blocked = blocked or any(
                reference["uid"] == uid and reference.get("blockOwnerDeletion")
                for reference in metadata["ownerReferences"]
            )
            self._look_at(metadata["uid"])
        if not blocked:
            self._remove_finalizer(owner, uid, FOREGROUND)

    def _check_owners(self, node: _Node, manifest: Manifest, *, has_dependents: bool) -> None:
        metadata = manifest["metadata"]
        solid, absent, waiting = 0, set[str](), set[str]()
        for reference in metadata["ownerReferences"]:
            state = self._owner_state(node.namespace, reference)
            solid += state == "solid"
            if state == "absent":
                absent.add(reference["uid"])
            elif state == "waiting":
                waiting.add(reference["uid"])
        if solid:
            if absent or waiting:
                self._drop_references(node, metadata["uid"], absent | waiting)
            return
        if not absent and not waiting:
            return
        propagation: Propagation | None = "Foreground" if waiting and has_dependents else "Background"
        if {FOREGROUND, ORPHAN} & set(metadata.get("finalizers", [])):
            propagation = None
        self._unless_gone(
            lambda: self._store.delete(
                node.resource, node.namespace, node.name, uid=metadata["uid"], propagation=propagation
            )
        )

    def _owner_state(self, namespace: str, reference: Manifest) -> str:
        """``solid``: there to stay; ``waiting``: being deleted, once this dependent is gone; ``absent``."""
        kind = BY_KIND.get((reference["apiVersion"], reference["kind"]))
        if kind is None:
            return "solid"  # a kind we do not know is no reason to delete anything
        owner = self._store.find(kind.resource, namespace if kind.namespaced else "", reference["name"])
        if owner is None or owner["metadata"]["uid"] != reference["uid"]:
            return "absent"
        metadata = owner["metadata"]
        if "deletionTimestamp" in metadata and FOREGROUND in metadata.get("finalizers", []):
            return "waiting"
        return "solid"

    def _present(self, uids: list[str]) -> list[tuple[_Node, Manifest]]:
        found = []
        for uid in uids:
            with self._lock:
                node = self._graph.nodes.get(uid)
            manifest = None if node is None else self._store.find(node.resource, node.namespace, node.name)
            if node is not None and manifest is not None and manifest["metadata"]["uid"] == uid:
                found.append((node, manifest))
        return found

    def _drop_references(self, node: _Node, uid: str, owners: set[str]) -> None:
        def change(manifest: Manifest) -> None:
            metadata = manifest["metadata"]
            kept = [reference for reference in metadata.get("ownerReferences", []) if reference["uid"] not in owners]
            metadata["ownerReferences"] = kept

        self._unless_gone(lambda: self._store.modify(node.resource, node.namespace, node.name, change, uid=uid))

    def _remove_finalizer(self, node: _Node, uid: str, finalizer: str) -> None:
        def change(manifest: Manifest) -> None:
            metadata = manifest["metadata"]
            metadata["finalizers"] = [name for name in metadata.get("finalizers", []) if name != finalizer]

        self._unless_gone(lambda: self._store.modify(node.resource, node.namespace, node.name, change, uid=uid))

    @staticmethod
    def _unless_gone(call: Callable[[], object]) -> None:
        """An object that is gone, or is another by now, needs nothing more."""
        try:
            call()
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def _record(graph: _Graph, event: Event) -> set[str]:
    """Take ``event`` into ``graph``; the uids that have to be looked at because of it."""
    metadata = event.object["metadata"]
    uid: str = metadata["uid"]
    if event.type == "DELETED":
        return {uid, *graph.drop(uid)}
    owners = frozenset(reference["uid"] for reference in metadata.get("ownerReferences", []))
    known = graph.nodes.get(uid)
    lost = graph.put(uid, _Node(event.resource, event.namespace, event.name, owners))
    concerned = set(lost)
    if known is None or known.owners != owners:
        concerned |= {uid} if owners else set()
    if "deletionTimestamp" in metadata and {FOREGROUND, ORPHAN} & set(metadata.get("finalizers", [])):
        concerned.add(uid)
    return concerned
