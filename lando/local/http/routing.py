"""What a request is about, from its method, path and query, as the API server reads them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, kw_only=True)
class RequestInfo:
    """One request, taken apart."""

    path: str
    verb: str
    """``get``, ``list``, ``watch``, ``create``, ``update``, ``patch``, ``delete``, ``deletecollection``; for a path
    that names no resource just the method's word."""
    group: str = ""
    version: str = ""
    resource: str | None = None
    namespace: str = ""
    """"" for all namespaces, and for what lies in none."""
    name: str = ""
    subresource: str = ""


def parse_request(method: str, path: str, query: Mapping[str, str]) -> RequestInfo:
    """The request's parts; ``resource`` is None for paths of the server itself (discovery, health, unknown)."""
    verb = _VERBS.get(method, method.lower())
    parts = [part for part in path.split("/") if part]
    plain = RequestInfo(path="/" + "/".join(parts), verb=verb)
    if len(parts) > 2 and parts[0] == "api":
        group, version, rest = "", parts[1], parts[2:]
    elif len(parts) > 3 and parts[0] == "apis":
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return plain
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        # /namespaces/{name} and its subresources are the namespace itself, the rest lies in it.
        if len(rest) > 2 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
    if len(rest) > 3:
        return plain
    resource, name, subresource = [*rest, "", ""][:3]
    return RequestInfo(
        path=plain.path,
        verb=_resource_verb(verb, name, query),
        group=group,
        version=version,
        resource=resource,
        namespace=namespace,
        name=name,
        subresource=subresource,
    )


def _resource_verb(verb: str, name: str, query: Mapping[str, str]) -> str:
    if name:
        return verb
    if verb == "get":
        return "watch" if flag(query, "watch") else "list"
    return "deletecollection" if verb == "delete" else verb


def flag(query: Mapping[str, str], name: str) -> bool:
    """A boolean parameter; given, it is true unless it says ``0`` or ``false``, as the API server reads it."""
    value = query.get(name)
    return value is not None and value.lower() not in ("0", "false")
