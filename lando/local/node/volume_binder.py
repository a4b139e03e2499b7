"""Claims of the embedded cluster: each is bound at once to a folder of this machine, which goes with the claim.

It stands for a dynamic provisioner, for whatever storage class a claim names. The size asked for is reported as
granted; nothing enforces it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from lando.local.controllers.event_recorder import NORMAL, EventRecorder
from lando.local.controllers.reconciling import Controller, Informer, Key, key_of
from lando.local.node.volumes import remove_tree
from lando.local.rules.status import Manifest
from lando.local.store.objects import ObjectStore

log = logging.getLogger(__name__)

CLAIMS = "persistentvolumeclaims"


class VolumeBinder(Controller):
    """Binds claims, and removes the folder of one that is gone (which it only is when no pod uses it)."""

    def __init__(
        self, store: ObjectStore, folder: Path, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._folder = folder
        self._events = EventRecorder(store, "lando-local", clock=clock)
        super().__init__("volume-binder", self._reconcile, [Informer(store, CLAIMS, self._claim_changed)])

    def start(self) -> None:
        """Begin; folders whose claims went while nothing ran are removed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        known = {claim["metadata"]["uid"] for claim in self._store.list(CLAIMS).items}
        for entry in self._folder.iterdir():
            if entry.name not in known:
                self._remove(entry)
        super().start()

    def folder_of(self, namespace: str, name: str) -> Path | None:
        """The folder of a bound claim, or None."""
        claim = self._store.find(CLAIMS, namespace, name)
        if claim is None or (claim.get("status") or {}).get("phase") != "Bound":
            return None
        return self._folder / str(claim["metadata"]["uid"])

    def _claim_changed(self, change: str, claim: Manifest) -> None:
        if change == "DELETED":
            # Keyed by uid, so that a new claim of the same name is left alone.
            self.queue.add(("", claim["metadata"]["uid"]))
        else:
            self.queue.add(key_of(claim))

    def _reconcile(self, key: Key) -> float | None:
        namespace, name = key
        if not namespace:
            self._remove(self._folder / name)
            return None
        claim = self._store.find(CLAIMS, namespace, name)
        if claim is None or "deletionTimestamp" in claim["metadata"]:
            return None
        if (claim.get("status") or {}).get("phase") != "Bound":
            self._bind(claim)
        return None

    def _bind(self, claim: Manifest) -> None:
        namespace, name = key_of(claim)
        uid = claim["metadata"]["uid"]
        (self._folder / uid).mkdir(parents=True, exist_ok=True)

        def assign(current: Manifest) -> None:
            current["spec"].setdefault("volumeName", f"pvc-{uid}")
            current["metadata"].setdefault("annotations", {})["pv.kubernetes.io/bind-completed"] = "yes"

        def bound(current: Manifest) -> None:
            spec = current["spec"]
            current["status"] = {
                "phase": "Bound",
                "accessModes": list(spec.get("accessModes") or []),
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            }

        self._store.modify(CLAIMS, namespace, name, assign, uid=uid)
        self._store.modify(CLAIMS, namespace, name, bound, subresource="status", uid=uid)
        self._events.record(claim, NORMAL, "ProvisioningSucceeded", f"Successfully provisioned volume pvc-{uid}")

    def _remove(self, folder: Path) -> None:
        try:
            remove_tree(folder)
        except OSError as error:
            log.warning("the folder of a deleted claim could not be removed wholly: %s", error)
