"""The calls Lando makes to a Kubernetes API, and no others; objects are plain JSON dictionaries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

Manifest = dict[str, Any]

KINDS = ("Job", "Pod", "ConfigMap", "PersistentVolumeClaim", "Secret", "Event")
"""The kinds this module knows the routes of."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of a list."""

    items: list[Manifest]
    resource_version: str
    continue_token: str | None


class Cluster(Protocol):
    """One namespace of one cluster. Every call has a time-out and raises only :mod:`lando.errors`:
    NotFound, Conflict, Expired, QuotaExceeded, Rejected, Unavailable."""

    @property
    def namespace(self) -> str: ...

    def create(self, manifest: Manifest) -> Manifest:
        """Create the object; Conflict when the name is taken."""
        ...

    def get(self, kind: str, name: str) -> Manifest: ...

    def list(self, kind: str, label_selector: str = "", field_selector: str = "") -> list[Manifest]:
        """All objects that match, page by page."""
        ...

    def list_page(
        self, kind: str, label_selector: str = "", *, limit: int = 500, continue_token: str | None = None
    ) -> Page: ...

    def watch(
        self, kind: str, label_selector: str, resource_version: str, *, timeout_s: int, field_selector: str = ""
    ) -> Iterator[Manifest]:
        """Raw watch events (``{"type": …, "object": …}``) with bookmarks until the server ends the stream."""
        ...

    def patch(self, kind: str, name: str, patch: Manifest) -> Manifest:
        """JSON merge patch."""
        ...

    def delete(self, kind: str, name: str, *, uid: str | None = None) -> None:
        """Delete with propagation Background; with ``uid`` only that very object (Conflict otherwise)."""
        ...

    def pod_log(
        self, pod: str, container: str, *, tail_lines: int | None = None, limit_bytes: int | None = None
    ) -> str:
        """The container's log, invalid bytes replaced."""
        ...

    def follow_pod_log(self, pod: str, container: str) -> Iterator[str]:
        """Lines of the log as they are written, until the container ends."""
        ...
