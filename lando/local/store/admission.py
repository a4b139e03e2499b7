"""What may come into a namespace: the checks that an object passes besides the rules of its kind.

The namespace has to be there and to stay, a pod's service account to exist, and LimitRanges and ResourceQuotas have
their say. All is read and written under the store's lock, so that two objects never share the last room of a quota.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from lando.local.rules import limit_ranges, quotas, status
from lando.local.rules.kinds import Kind
from lando.local.rules.quotas import Usage
from lando.local.rules.status import Manifest

Find = Callable[[str, str, str], Manifest | None]
"""Resource, namespace and name → the object."""
FindAll = Callable[[str, str], list[Manifest]]
"""Resource and namespace → the objects."""


class Admission:
    """Decides for one store; every refusal is an ApiError."""

    def __init__(self, find: Find, find_all: FindAll) -> None:
        self._find = find
        self._find_all = find_all

    def fill_up(self, kind: Kind, manifest: Manifest) -> None:
        """What a new object gets, in place, before it is looked at."""
        if kind.kind == "Pod":
            limit_ranges.fill_up(manifest, self._find_all("limitranges", manifest["metadata"]["namespace"]))

    def check_create(self, kind: Kind, manifest: Manifest) -> Sequence[Manifest]:
        """Whether a new object may come in; ApiError 404 (no namespace) or 403.

        Returns the ResourceQuotas whose status is to be written with the object, changed already.
        """
        metadata = manifest["metadata"]
        self._check_namespace(kind, metadata["namespace"], metadata["name"])
        if kind.kind == "Pod":
            self._check_account(kind, manifest)
        self._check_limits(kind, manifest)
        return self._room_for(kind, manifest, None)

    def check_update(self, kind: Kind, manifest: Manifest, before: Manifest) -> Sequence[Manifest]:
        """Whether a claim may grow; as :meth:`check_create`."""
        if kind.kind != "PersistentVolumeClaim" or manifest["spec"] == before["spec"]:
            return []
        self._check_limits(kind, manifest)
        return self._room_for(kind, manifest, before)

    def _room_for(self, kind: Kind, manifest: Manifest, before: Manifest | None) -> Sequence[Manifest]:
        """The quotas that the object counts in, with it counted; ApiError 403 when one of them has no room."""
        metadata, changed = manifest["metadata"], list[Manifest]()
        for quota in self._find_all("resourcequotas", metadata["namespace"]):
            limits = quotas.limits_of(quota)
            if not limits or not quotas.concerns(quota, kind.resource, manifest):
                continue
            more = _more(kind, manifest, before)
            more = {name: amount for name, amount in more.items() if name in limits and amount > 0}
            lacking = quotas.missing_from(manifest, limits) if kind.kind == "Pod" else ""
            words = f"failed quota: {quota['metadata']['name']}: must specify {lacking}" if lacking else ""
            words = words or quotas.exceeded(quota, more)
            if words:
                raise status.forbidden(kind.resource, kind.group, metadata["name"], words)
            if more:
                changed.append({**quota, "status": quotas.with_more(quota, more)})
        return changed

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        holder = self._find("namespaces", "", namespace)
        if holder is None:
            raise status.not_found("namespaces", "", namespace)
        if "deletionTimestamp" in holder["metadata"]:
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {namespace} is being terminated",
                "field": "metadata.namespace",
            }
            words = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise status.forbidden(kind.resource, kind.group, name, words, [cause])

    def _check_account(self, kind: Kind, pod: Manifest) -> None:
        """A pod runs as a service account that is there; ``default`` always is."""
        namespace, account = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
        if account != "default" and self._find("serviceaccounts", namespace, account) is None:
            words = f'error looking up service account {namespace}/{account}: serviceaccount "{account}" not found'
            raise status.forbidden(kind.resource, kind.group, pod["metadata"]["name"], words)

    def _check_limits(self, kind: Kind, manifest: Manifest) -> None:
        if kind.kind not in ("Pod", "PersistentVolumeClaim"):
            return
        metadata = manifest["metadata"]
        ranges = self._find_all("limitranges", metadata["namespace"])
        found = limit_ranges.refusals(kind.resource, manifest, ranges)
        if found:
            words = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
            raise status.forbidden(kind.resource, kind.group, metadata["name"], words)


def _more(kind: Kind, manifest: Manifest, before: Manifest | None) -> Usage:
    used = quotas.usage_of(kind.resource, kind.group, manifest)
    known = {} if before is None else quotas.usage_of(kind.resource, kind.group, before)
    return {name: amount - known.get(name, Decimal(0)) for name, amount in used.items()}
