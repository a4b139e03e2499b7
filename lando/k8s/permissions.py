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


def _of(group: str, resource: str, *verbs: str) -> frozenset[Permission]:
    return frozenset(Permission(group, resource, verb) for verb in verbs)


LANDO = (
    _of("batch", "jobs", "create", "get", "list", "watch", "delete")
    | _of("", "configmaps", "create", "get", "list", "watch", "patch", "delete")
    | _of("", "persistentvolumeclaims", "create", "get", "list", "watch", "delete")
    | _of("", "pods", "list", "watch", "delete")
    | _of("", "pods/log", "get")
    | _of("", "events", "list")
)
"""Of ``python -m lando.k8s.lando``."""

WATCHER = (
    _of("batch", "jobs", "list", "watch", "patch")
    | _of("", "pods", "list", "watch")
    | _of("", "pods/log", "get")
    | _of("", "events", "list", "watch")
)
"""Of ``python -m lando.k8s.watcher``; patching a Job notes what was told of it."""

SERVER = (
    _of("batch", "jobs", "list", "delete")
    | _of("", "configmaps", "list", "delete")
    | _of("", "persistentvolumeclaims", "list", "delete")
    | _of("", "pods", "list", "delete")
    | _of("", "pods/log", "get")
)
"""Of ``lando serve --daemons FILE``: logs of running steps, and its routes of upkeep. Also of `lando resync` and
`lando prune` with a daemons' file."""

RECORD = _of("", "pods", "get", "patch")
"""Of a record step's account, which notes the ids of its project on its own pod."""

BY_PROCESS = {"lando": LANDO, "watcher": WATCHER, "server": SERVER}
DAEMONS = ("lando", "watcher")
