"""Keeps the status of ResourceQuotas: notes their limits, and counts anew when something has gone or has ended.

What comes is counted by the API server as it lets it in.
"""

from __future__ import annotations

from lando.local.controllers.reconciling import Controller, Follower, Key
from lando.local.rules import quotas
from lando.local.rules.kinds import KINDS
from lando.local.store.objects import ObjectStore
from lando.local.store.watching import Event, Subscription


class QuotaController(Controller):
    """Brings the quotas of one namespace after the other up to date."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        contents = Follower("quota-contents", lambda: store.watch(None), self._follow)
        super().__init__("quotas", self._reconcile, [contents])

    def _follow(self, subscription: Subscription) -> None:
        for event in subscription:
            if event.namespace and _matters(event):
                self.queue.add((event.namespace, ""))

    def _reconcile(self, key: Key) -> None:
        namespace = key[0]
        found = self._store.list("resourcequotas", namespace).items
        if not found:
            return
        objects = [
            (kind.resource, kind.group, item)
            for kind in KINDS
            if kind.namespaced
            for item in self._store.list(kind.resource, namespace).items
        ]
        for quota in found:
            status = quotas.with_usage(quota, quotas.total(quota, objects))
            if status != quota.get("status"):
                # At the version that was read before the objects were: what was let in since is a conflict, and seen
                # at the next try.
                self._store.update_status("resourcequotas", namespace, {**quota, "status": status})


def _matters(event: Event) -> bool:
    if event.resource == "resourcequotas":
        return event.type != "DELETED"
    return event.type == "DELETED" or (event.resource, event.type) == ("pods", "MODIFIED")
