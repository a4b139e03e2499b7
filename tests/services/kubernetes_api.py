"""A Kubernetes API as tests see it: raw requests, so that what goes over the wire is what is asserted."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import requests
import yaml

TIMEOUT_S = 20.0
MERGE = "application/merge-patch+json"
_GROUPS = {"jobs": "/apis/batch/v1", "leases": "/apis/coordination.k8s.io/v1"}


@dataclass(frozen=True)
class Reply:
    """One answer: HTTP status and decoded body."""

    code: int
    body: Any

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def version(self) -> str:
        return str(self.body["metadata"]["resourceVersion"])


class KubernetesApi:
    """Talks to one API server within one namespace."""

    def __init__(self, url: str, ca_file: Path, token: str, namespace: str) -> None:
        self.url = url
        self.ca_file = ca_file
        self.namespace = namespace
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(ca_file)
        self.session.headers["Authorization"] = f"Bearer {token}"

    @classmethod
    def from_kubeconfig(cls, file: Path, folder: Path, namespace: str = "default") -> KubernetesApi:
        """The current cluster of ``file``, which must hold a token; ``folder`` takes the authority's certificate."""
        config = yaml.safe_load(file.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        ca_file = Path(cluster.get("certificate-authority") or folder / "ca.crt")
        if "certificate-authority-data" in cluster:
            ca_file.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        return cls(cluster["server"], ca_file, user["token"], namespace)

    def path(self, resource: str, name: str = "", sub: str = "") -> str:
        group = _GROUPS.get(resource, "/api/v1")
        scope = "" if resource == "namespaces" else f"/namespaces/{self.namespace}"
        return "/".join(part for part in (f"{group}{scope}/{resource}", name, sub) if part)

    def call(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json", **query: Any
    ) -> Reply:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = content_type
        data = None if body is None else json.dumps(body)
        answer = self.session.request(
            method, self.url + path, params=query, data=data, headers=headers, timeout=TIMEOUT_S
        )
        try:
            return Reply(answer.status_code, answer.json())
        except ValueError:
            return Reply(answer.status_code, answer.text)

    def minor_version(self) -> int:
        """34 of Kubernetes 1.34."""
        return int(str(self.call("GET", "/version").body["minor"]).rstrip("+"))

    def create(self, resource: str, manifest: dict[str, Any], **query: Any) -> Reply:
        return self.call("POST", self.path(resource), manifest, **query)

    def get(self, resource: str, name: str, sub: str = "", **query: Any) -> Reply:
        return self.call("GET", self.path(resource, name, sub), **query)

    def list(self, resource: str, **query: Any) -> Reply:
        return self.call("GET", self.path(resource), **query)

    def replace(self, resource: str, manifest: dict[str, Any], sub: str = "") -> Reply:
        return self.call("PUT", self.path(resource, manifest["metadata"]["name"], sub), manifest)

    def patch(self, resource: str, name: str, patch: Any, content_type: str = MERGE) -> Reply:
        return self.call("PATCH", self.path(resource, name), patch, content_type=content_type)

    def delete(self, resource: str, name: str, **options: Any) -> Reply:
        return self.call("DELETE", self.path(resource, name), options or None)

    @contextmanager
    def watch(self, resource: str, **query: Any) -> Iterator[Iterator[dict[str, Any]]]:
        """Events of a watch that ends by itself after ``timeoutSeconds`` (10 unless given)."""
        query = {"watch": "true", "timeoutSeconds": 10, **query}
        with self.session.get(self.url + self.path(resource), params=query, stream=True, timeout=TIMEOUT_S) as answer:
            yield (json.loads(line) for line in answer.iter_lines() if line)

    @contextmanager
    def fresh_namespace(self) -> Iterator[KubernetesApi]:
        """The same API within a namespace of its own, which is deleted afterwards."""
        name = f"test-{uuid4().hex[:10]}"
        created = self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        assert created.code == 201, created.body
        token = str(self.session.headers["Authorization"]).partition(" ")[2]
        inside = KubernetesApi(self.url, self.ca_file, token, name)
        try:
            yield inside
        finally:
            inside.session.close()
            self.call("DELETE", f"/api/v1/namespaces/{name}")
