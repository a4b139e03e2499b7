"""What the API server tells about itself: versions, groups, resources, health. Pure."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed_version
from typing import Any

from lando.local.rules.kinds import KINDS, Kind
from lando.local.rules.status import Manifest

KUBERNETES_MINOR = 34
"""The minor version of Kubernetes whose documented behaviour the embedded API follows."""
REVIEW_GROUP = "authorization.k8s.io"
REVIEWS = "selfsubjectaccessreviews"
OPENAPI_PATH = "/openapi/v2"
OPENAPI_MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""kubectl asks for the schema before it creates; an empty message is a schema without kinds, which it then trusts."""
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_EXTRA_SUBRESOURCES: dict[str, tuple[tuple[str, str, list[str]], ...]] = {
    "pods": (("log", "Pod", ["get"]), ("binding", "Binding", ["create"])),
    "namespaces": (("finalize", "Namespace", ["update"]),),
}
_GROUPS = {"batch": "v1", REVIEW_GROUP: "v1"}


def document(path: str) -> Manifest | str | None:
    """The answer to a GET of one of the server's own paths; a string is plain text, None means there is none."""
    if path in ("/healthz", "/livez", "/readyz"):
        return "ok"
    if path == "/version":
        return version()
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if path == "/apis":
        groups = [_group(name, served) for name, served in _GROUPS.items()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    for name, served in _GROUPS.items():
        if path == f"/apis/{name}":
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, served)}
        if path == f"/apis/{name}/{served}":
            return _resource_list(name, served)
    return _resource_list("", "v1") if path == "/api/v1" else None


def version() -> Manifest:
    return {
        "major": "1",
        "minor": str(KUBERNETES_MINOR),
        "gitVersion": f"v1.{KUBERNETES_MINOR}.0+lando-{installed_version('lando')}",
        "platform": f"linux/{'arm64' if platform.machine() == 'aarch64' else 'amd64'}",
    }


def _group(name: str, served: str) -> Manifest:
    entry = {"groupVersion": f"{name}/{served}", "version": served}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


def _resource_list(group: str, served: str) -> Manifest:
    resources: list[dict[str, Any]] = []
    if group == REVIEW_GROUP:
        resources.append(_resource(REVIEWS, "selfsubjectaccessreview", "SelfSubjectAccessReview", False, ["create"]))
    for kind in (kind for kind in KINDS if kind.group == group):
        resources += _resources_of(kind)
    group_version = f"{group}/{served}" if group else served
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


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
