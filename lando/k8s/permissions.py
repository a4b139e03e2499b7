"""What each daemon may do in the namespace of the jobs: the one list that the Roles and `lando doctor` follow.

Tests hold it against the calls that are recorded of each process, and against the Roles in openshift/, both ways.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Permission:
    """One verb on one resource of the namespace, in RBAC's words."""

    group: str
    """API group; "" is the core group."""
    resource: str
    """The plural, with the subresource where there is one: ``pods/log``."""
    verb: str

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}"

    def attributes(self) -> dict[str, str]:
        """As ``resourceAttributes`` of an access review, without the namespace."""
        resource, _, subresource = self.resource.partition("/")
        return {"group": self.group, "resource": resource, "subresource": subresource, "verb": self.verb}


def permissions(group: str, resource: str, *verbs: str) -> frozenset[Permission]:
    """One for each of the verbs."""
    return frozenset(Permission(group, resource, verb) for verb in verbs)


LANDO = (
    permissions("batch", "jobs", "create", "get", "list", "watch", "delete")
    | permissions("", "configmaps", "create", "get", "list", "watch", "patch", "delete")
    | permissions("", "persistentvolumeclaims", "create", "get", "list", "watch", "delete")
    | permissions("", "pods", "list", "watch", "delete")
    | permissions("", "pods/log", "get")
    | permissions("", "events", "list")
)
"""Of ``python -m lando.k8s.lando``."""

WATCHER = (
    permissions("batch", "jobs", "list", "watch", "patch")
    | permissions("", "pods", "list", "watch")
    | permissions("", "pods/log", "get")
    | permissions("", "events", "list", "watch")
)
"""Of ``python -m lando.k8s.watcher``; patching a Job notes what was told of it."""

SERVER = (
    permissions("batch", "jobs", "list", "delete")
    | permissions("", "configmaps", "list", "delete")
    | permissions("", "persistentvolumeclaims", "list", "delete")
    | permissions("", "pods", "list", "delete")
    | permissions("", "pods/log", "get")
)
"""Of ``lando serve --daemons FILE``: logs of running steps, and its routes of upkeep. Also of `lando resync` and
`lando prune` with a daemons' file."""

DEFINITIONS = (
    permissions("batch", "jobs", "create", "list", "watch", "patch", "delete")
    | permissions("batch", "jobs/status", "get")
    | permissions("", "configmaps", "get")
    | permissions("", "pods", "list")
    | permissions("", "pods/log", "get")
    | permissions("", "events", "list")
)
"""Of ``lando serve`` with ``definitions``, in the namespace of their Jobs. ConfigMaps are read for definitions whose
template is in one; without events a cause says less."""

RECORD = permissions("", "pods", "get", "patch")
"""Of a record step's account, which notes the ids of its project on its own pod."""

BY_PROCESS = {"lando": LANDO, "watcher": WATCHER, "server": SERVER}
DAEMONS = ("lando", "watcher")
