"""What the API server tells about itself: versions, groups, resources, health. Pure."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed_version
from typing import Any

from lando.local.http import reviews
from lando.local.rules.kinds import KINDS, Kind
from lando.local.rules.status import Manifest

KUBERNETES_MINOR = 34
"""The minor version of Kubernetes whose documented behaviour the embedded API follows."""
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
"""The media type of discovery in one answer for all groups; kubectl asks for it first."""
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_EXTRA_SUBRESOURCES: dict[str, tuple[tuple[str, str, list[str]], ...]] = {
    "pods": (("log", "Pod", ["get"]), ("binding", "Binding", ["create"])),
    "namespaces": (("finalize", "Namespace", ["update"]),),
}
_GROUPS = (*dict.fromkeys(kind.group for kind in KINDS), *reviews.GROUPS)
_VERSION = "v1"


def aggregation_wanted(accept: str) -> bool:
    """Whether an ``Accept`` header takes :data:`AGGREGATED`."""
    kinds = (frozenset(part.replace(" ", "").split(";")) for part in accept.split(","))
    return any(frozenset(AGGREGATED.split(";")) <= kind for kind in kinds)


def aggregated(path: str) -> Manifest | None:
    """All groups below ``/api`` or ``/apis`` with all that they serve; None for another path."""
    if path not in ("/api", "/apis"):
        return None
    groups = [name for name in _GROUPS if bool(name) is (path == "/apis")]
    items = [{"metadata": _named(name), "versions": [_aggregated_version(name)]} for name in groups]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def document(path: str) -> Manifest | str | None:
    """The answer to a GET of one of the server's own paths; a string is plain text, None means there is none."""
    if path in ("/healthz", "/livez", "/readyz"):
        return "ok"
    if path == "/version":
        return version()
    if path == "/api":
        return {"kind": "APIVersions", "versions": [_VERSION], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in _GROUPS if name]}
    for name in _GROUPS:
        if path == (f"/apis/{name}/{_VERSION}" if name else f"/api/{_VERSION}"):
            return _resource_list(name)
        if name and path == f"/apis/{name}":
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)}
    return None


def version() -> Manifest:
    return {
        "major": "1",
        "minor": str(KUBERNETES_MINOR),
        "gitVersion": f"v1.{KUBERNETES_MINOR}.0+lando-{installed_version('lando')}",
        # Of a build with Go, which this is not; clients' models insist on them.
        **dict.fromkeys(("gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler"), ""),
        "platform": f"linux/{'arm64' if platform.machine() == 'aarch64' else 'amd64'}",
    }


def _named(group: str) -> Manifest:
    return {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None}


def _group(name: str) -> Manifest:
    entry = {"groupVersion": f"{name}/{_VERSION}", "version": _VERSION}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


def _resource_list(group: str) -> Manifest:
    group_version = f"{group}/{_VERSION}" if group else _VERSION
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": _resources(group),
    }


def _resources(group: str) -> list[Manifest]:
    """Every resource of ``group``, each followed by its subresources."""
    resources = [
        _resource(resource, kind.lower(), kind, False, ["create"])
        for (of, resource), kind in reviews.KINDS.items()
        if of == group
    ]
    for kind in (kind for kind in KINDS if kind.group == group):
        resources += _resources_of(kind)
    if not group:
        resources.append({**_resource("services", "service", "Service", True, ["get", "list"]), "shortNames": ["svc"]})
    return resources


def _resources_of(kind: Kind) -> list[Manifest]:
    main = _resource(kind.resource, kind.kind.lower(), kind.kind, kind.namespaced, _VERBS)
    if kind.short_names:
        main["shortNames"] = list(kind.short_names)
    if kind.resource in ("pods", "jobs"):
        main["categories"] = ["all"]
    entries = [main]
    if kind.has_status:
        entries.append(_resource(f"{kind.resource}/status", "", kind.kind, kind.namespaced, ["get", "patch", "update"]))
    for name, of, verbs in _EXTRA_SUBRESOURCES.get(kind.resource, ()):
        entries.append(_resource(f"{kind.resource}/{name}", "", of, kind.namespaced, verbs))
    return entries


def _resource(name: str, singular: str, kind: str, namespaced: bool, verbs: list[str]) -> Manifest:
    return {"name": name, "singularName": singular, "namespaced": namespaced, "kind": kind, "verbs": verbs}


def _aggregated_version(group: str) -> Manifest:
    resources: list[dict[str, Any]] = []
    for entry in _resources(group):
        name, _, subresource = entry["name"].partition("/")
        response_kind = {"group": group, "version": _VERSION, "kind": entry["kind"]}
        shape: Manifest = {"responseKind": response_kind, "verbs": entry["verbs"]}
        if subresource:
            resources[-1].setdefault("subresources", []).append({"subresource": subresource, **shape})
            continue
        scope = "Namespaced" if entry["namespaced"] else "Cluster"
        more: Manifest = {key: entry[key] for key in ("shortNames", "categories") if key in entry}
        resources.append({"resource": name, "scope": scope, "singularResource": entry["singularName"], **shape, **more})
    return {"version": _VERSION, "resources": resources, "freshness": "Current"}
