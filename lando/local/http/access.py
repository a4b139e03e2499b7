"""Who may do what: bearer tokens and what each of them grants."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from lando.local.http.routing import RequestInfo
from lando.local.http.tls import write_private
from lando.local.rules import status

PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
"""What the real API server shows to anyone, too."""
TOKEN_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What the holder of a token is called and allowed."""

    user: str
    verbs: frozenset[str] | None = None
    """None: all."""
    namespaces: frozenset[str] | None = None
    """None: all, and what lies in no namespace."""

    def allows(self, verb: str, namespace: str, resource: str) -> bool:
        """Whether ``verb`` may be done to ``resource`` in ``namespace`` ("" is all of them, or none)."""
        if self.verbs is not None and verb not in self.verbs:
            return False
        if self.namespaces is None:
            return True
        # Who works in a namespace sees the namespace itself, but does not remove or change it.
        return namespace in self.namespaces and (resource != "namespaces" or verb == "get")

    def allows_path(self, verb: str) -> bool:
        """Whether ``verb`` may be done to the server's own paths: discovery, schemas."""
        return verb == "get" and self.verbs != frozenset()


ANONYMOUS = Grant(user="system:anonymous", verbs=frozenset())


class Access:
    """Knows tokens by their hash, so that comparing gives nothing away and the tokens lie nowhere in memory twice."""

    def __init__(self, grants: dict[str, Grant]) -> None:
        self._grants = {_digest(token): grant for token, grant in grants.items()}

    def authenticate(self, authorization: str) -> Grant:
        """The grant of an ``Authorization`` header; none given is anonymous. ApiError 401 for a token not ours."""
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        grant = self._grants.get(_digest(token.strip())) if scheme.lower() == "bearer" else None
        if grant is None:
            raise status.unauthorized()
        return grant


def authorize(grant: Grant, request: RequestInfo) -> None:
    """ApiError 403 unless ``grant`` allows the request."""
    if request.resource is None:
        if request.path not in PUBLIC_PATHS and not grant.allows_path(request.verb):
            words = f'User "{grant.user}" cannot {request.verb} path "{request.path}"'
            raise status.ApiError(403, "Forbidden", f"forbidden: {words}", {})
        return
    if request.resource.startswith("selfsubject") and grant is not ANONYMOUS:
        return
    if not grant.allows(request.verb, request.namespace, request.resource):
        resource = request.resource + (f"/{request.subresource}" if request.subresource else "")
        where = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
        raise status.forbidden(
            request.resource,
            request.group,
            request.name,
            f'User "{grant.user}" cannot {request.verb} resource "{resource}" in API group "{request.group}" {where}',
        )


def ensure_token(file: Path) -> str:
    """The token in ``file``, made (and kept with mode 0600) when there is none."""
    if file.exists():
        token = file.read_text().strip()
        if token:
            file.chmod(0o600)
            return token
    token = secrets.token_urlsafe(TOKEN_BYTES)
    write_private(file, token.encode() + b"\n")
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
