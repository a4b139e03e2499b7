"""What a direct run's account may do: the one list that the checks and examples/phases/rbac.yaml follow."""

from __future__ import annotations

from dataclasses import dataclass

from lando.k8s.permissions import Permission, permissions
from lando.phases.model import Model

LEASES = "coordination.k8s.io"
RESOURCES = {
    "ConfigMap": "configmaps",
    "Secret": "secrets",
    "PersistentVolumeClaim": "persistentvolumeclaims",
}
"""The plurals of the kinds that a model may name as resources."""


@dataclass(frozen=True, kw_only=True)
class Right:
    """One permission, and how badly it is wanted."""

    permission: Permission
    lost: str = ""
    """What a run has to do without, else; "" when it can't begin."""
    why: str = ""
    """What it is for, where that is not plain."""


def _rights(group: str, resource: str, *verbs: str, lost: str = "", why: str = "") -> tuple[Right, ...]:
    wanted = {one.verb: one for one in permissions(group, resource, *verbs)}
    return tuple(Right(permission=wanted[verb], lost=lost, why=why) for verb in verbs)


_JOBS = _rights("batch", "jobs", "create", "get", "list", "delete")
_CAUSES = "less is known of why a Job waits or failed"
_HELPFUL = (
    _rights("batch", "jobs", "watch", lost="Jobs are listed every refresh_time seconds instead")
    + _rights("", "pods", "list", lost=_CAUSES)
    + _rights("", "pods", "watch", lost="pods are listed every refresh_time seconds instead")
    + _rights("", "pods/log", "get", lost="no log of a failed Job is shown")
    + _rights("", "events", "list", lost=_CAUSES)
    + _rights("", "events", "watch", lost="events are listed every refresh_time seconds instead")
)
_LEASE_VERBS = ("create", "get", "list", "patch", "delete")
_UNLOCKED = "nothing keeps a second run of these Jobs away, and Jobs that vanish by themselves run again"

LOOKS = (
    permissions("", "resourcequotas", "list")
    | permissions("", "limitranges", "list")
    | permissions("", "serviceaccounts", "get")
)
"""By which the checks can foresee more; not missed otherwise."""


def wanted(model: Model) -> tuple[Right, ...]:
    """What a run of ``model`` is asked for, the needed first."""
    kinds = dict.fromkeys(str(one.manifest["kind"]) for one in model.resources)
    if not kinds:
        return _JOBS + _HELPFUL + _rights(LEASES, "leases", *_LEASE_VERBS, lost=_UNLOCKED)
    leases = _rights(LEASES, "leases", *_LEASE_VERBS, why="a Lease owns the run's resources")
    objects = tuple(
        right for kind in kinds for right in _rights("", RESOURCES[kind], "create", "get", "patch", "delete")
    )
    return _JOBS + leases + objects + _HELPFUL


EVERY = (
    frozenset(one.permission for one in _JOBS + _HELPFUL)
    | permissions(LEASES, "leases", *_LEASE_VERBS)
    | frozenset().union(*(permissions("", plural, "create", "get", "patch", "delete") for plural in RESOURCES.values()))
    | LOOKS
)
"""All that a run of any model uses."""

INSPECTION = permissions("", "pods", "get") | permissions("", "events", "get")
"""Given besides, to look with the same account at what a run names as a cause (phases contract, 11)."""
