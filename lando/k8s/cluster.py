"""The calls Lando makes to a Kubernetes API, and no others; objects are plain JSON dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self
from urllib.parse import quote, urlencode

from lando.config import ClusterSettings
from lando.errors import Expired
from lando.k8s import cluster_errors
from lando.k8s.cluster_session import MAX_ANSWER, READ_TIMEOUT_S, ClusterSession
from lando.k8s.cluster_streams import Events, Lines, TextLines
from lando.k8s.permissions import Permission

Manifest = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of a list."""

    items: list[Manifest]
    resource_version: str
    continue_token: str | None


class Watch(Iterator[Manifest], Protocol):
    """Events of one watch as they come, ``{"type": …, "object": …}``, bookmarks among them."""

    def close(self) -> None:
        """End it at once, from any thread: whoever waits for the next event gets StopIteration."""
        ...


class LogLines(Iterator[str], Protocol):
    """Lines of a log as they are written."""

    def close(self) -> None:
        """End it at once, from any thread."""
        ...


class Cluster(Protocol):
    """One namespace of one cluster. Every call has a time-out and raises only :mod:`lando.errors`:
    NotFound, Conflict, Expired, QuotaExceeded, Rejected, Unavailable."""

    @property
    def namespace(self) -> str: ...

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create the object; Conflict when the name is taken. A dry run is judged alike, by admission and
        quotas too, and makes nothing."""
        ...

    def get(self, kind: str, name: str) -> Manifest: ...

    def list(self, kind: str, label_selector: str = "", field_selector: str = "") -> list[Manifest]:
        """All objects that match, page by page."""
        ...

    def list_page(
        self,
        kind: str,
        label_selector: str = "",
        *,
        field_selector: str = "",
        limit: int = 500,
        continue_token: str | None = None,
    ) -> Page:
        """One page; Expired when the token of the page before is too old."""
        ...

    def watch(
        self, kind: str, label_selector: str, resource_version: str, *, timeout_s: int, field_selector: str = ""
    ) -> Watch:
        """Changes after ``resource_version`` until the server ends the stream, at the latest after ``timeout_s``.

        An ERROR event is raised as the error it means: Expired when the position is too old.
        """
        ...

    def patch(self, kind: str, name: str, patch: Manifest) -> Manifest:
        """JSON merge patch; with a ``metadata.resourceVersion`` in it only that very version (Conflict otherwise)."""
        ...

    def delete(self, kind: str, name: str, *, uid: str | None = None) -> None:
        """Delete with propagation Background; with ``uid`` only that very object (Conflict otherwise)."""
        ...

    def pod_log(
        self, pod: str, container: str, *, tail_lines: int | None = None, limit_bytes: int | None = None
    ) -> str:
        """The container's log, invalid bytes replaced; with ``limit_bytes`` no more than its last so many bytes."""
        ...

    def pod_log_lines(self, pod: str, container: str, *, follow: bool) -> LogLines:
        """The log from its beginning, line by line, so far or until the container ends."""
        ...

    def may(self, permission: Permission) -> bool:
        """Whether our own account has this permission in the namespace; asking needs no permission."""
        ...


WATCH_GRACE_S = 15.0  # beyond the time the server was asked to end a watch by itself
FOLLOW_SILENCE_S = 3600.0  # a followed log may say nothing for long; a dead peer is found by TCP keep-alive
PAGE_SIZE = 500
_RELISTS = 3  # how often a list whose continue token expired is begun again

_ROUTES = {
    "Job": ("apis/batch/v1", "jobs"),
    "Pod": ("api/v1", "pods"),
    "ConfigMap": ("api/v1", "configmaps"),
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims"),
    "Secret": ("api/v1", "secrets"),
    "Event": ("api/v1", "events"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "ResourceQuota": ("api/v1", "resourcequotas"),
    "LimitRange": ("api/v1", "limitranges"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
}
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class KubernetesCluster:
    """The calls over HTTPS; safe to use from several threads. ConfigError when the settings can't work.

    ``on_call`` is told verb and kind of each request, for counting.
    """

    def __init__(self, settings: ClusterSettings, *, on_call: Callable[[str, str], None] | None = None) -> None:
        self.session = ClusterSession(settings, on_call=on_call)
        self._namespace = settings.namespace

    @property
    def namespace(self) -> str:
        return self._namespace

    def now(self) -> datetime:
        """The cluster's own time, as far as it has answered yet; else this machine's."""
        return self.session.now()

    def close(self) -> None:
        """Drop idle connections."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # -- objects -------------------------------------------------------------------------------------------------

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create the object; Conflict when the name is taken, Rejected when validation or admission refuse it."""
        kind, name = str(manifest["kind"]), str(manifest["metadata"].get("name", ""))
        query = {"dryRun": "All"} if dry_run else None
        return self._json("create", "POST", kind, name, path="", query=query, body=manifest)

    def get(self, kind: str, name: str) -> Manifest:
        return self._json("get", "GET", kind, name)

    def list(self, kind: str, label_selector: str = "", field_selector: str = "") -> list[Manifest]:
        """All objects that match, page by page; begun again when a page's token has expired meanwhile."""
        for attempt in range(_RELISTS):
            items: list[Manifest] = []
            token: str | None = None
            try:
                while True:
                    page = self.list_page(kind, label_selector, field_selector=field_selector, continue_token=token)
                    items += page.items
                    token = page.continue_token
                    if token is None:
                        return items
            except Expired:
                if attempt + 1 == _RELISTS:
                    raise
        raise AssertionError("unreachable")

    def list_page(
        self,
        kind: str,
        label_selector: str = "",
        *,
        field_selector: str = "",
        limit: int = PAGE_SIZE,
        continue_token: str | None = None,
    ) -> Page:
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": str(limit),
            "continue": continue_token or "",
        }
        answer = self._json("list", "GET", kind, "", query=query)
        items = [item for item in answer.get("items") or [] if isinstance(item, dict)]
        for item in items:  # the items of a list carry no type of their own
            item.setdefault("apiVersion", _ROUTES[kind][0].partition("/")[2])
            item.setdefault("kind", kind)
        metadata = answer.get("metadata") or {}
        return Page(
            items=items,
            resource_version=str(metadata.get("resourceVersion", "")),
            continue_token=metadata.get("continue") or None,
        )

    def patch(self, kind: str, name: str, patch: Manifest) -> Manifest:
        """JSON merge patch; with a ``metadata.resourceVersion`` in it only that very version (Conflict otherwise)."""
        return self._json("patch", "PATCH", kind, name, body=patch, content_type="application/merge-patch+json")

    def delete(self, kind: str, name: str, *, uid: str | None = None) -> None:
        """Delete with propagation Background; with ``uid`` only that very object (Conflict otherwise)."""
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        self._json("delete", "DELETE", kind, name, body=options)

    def may(self, permission: Permission) -> bool:
        """Whether our own account has this permission in the namespace; asking needs no permission."""
        attributes = {"namespace": self._namespace, **permission.attributes()}
        question = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        return bool((self.session.ask(REVIEWS, question).get("status") or {}).get("allowed"))

    # -- streams -------------------------------------------------------------------------------------------------

    def watch(
        self, kind: str, label_selector: str, resource_version: str, *, timeout_s: int, field_selector: str = ""
    ) -> Watch:
        what = f"watch {kind}"
        query = {
            "watch": "1",
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(timeout_s),
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
        }
        response = self.session.request(
            "watch", "GET", kind, self._url(kind, query=query), what, timeout_s + WATCH_GRACE_S
        )
        return Events(Lines(response, what), what)

    def pod_log(
        self, pod: str, container: str, *, tail_lines: int | None = None, limit_bytes: int | None = None
    ) -> str:
        what = f"read the log of {pod}/{container}"
        query = {"container": container, "tailLines": "" if tail_lines is None else str(tail_lines)}
        url = self._url("Pod", pod, "log", query=query)
        response = self.session.request("log", "GET", "Pod", url, what, READ_TIMEOUT_S)
        limit = MAX_ANSWER if limit_bytes is None else limit_bytes
        kept = bytearray()
        try:
            # The API's own limitBytes keeps a log's beginning; why a step failed stands at its end.
            for chunk in response.stream(64 * 1024):
                kept += chunk
                if len(kept) > limit + 1024 * 1024:
                    del kept[: -limit or None]
        except cluster_errors.TRANSPORT_ERRORS as error:
            response.close()
            raise cluster_errors.from_exception(error, what=what) from error
        response.release_conn()
        return bytes(kept[-limit:] if limit else b"").decode("utf-8", "replace")

    def pod_log_lines(self, pod: str, container: str, *, follow: bool) -> LogLines:
        what = f"{'follow' if follow else 'read'} the log of {pod}/{container}"
        url = self._url("Pod", pod, "log", query={"container": container, "follow": "true" if follow else ""})
        silence_s = FOLLOW_SILENCE_S if follow else READ_TIMEOUT_S
        return TextLines(Lines(self.session.request("log", "GET", "Pod", url, what, silence_s), what))

    # -- one request ---------------------------------------------------------------------------------------------

    def _url(self, kind: str, *path: str, query: dict[str, str] | None = None) -> str:
        prefix, plural = _ROUTES[kind]
        url = f"{self.session.url}/{prefix}/namespaces/{quote(self._namespace, safe='')}/{plural}"
        url = "/".join((url, *(quote(part, safe="") for part in path if part)))
        given = {key: value for key, value in (query or {}).items() if value != ""}
        return f"{url}?{urlencode(given)}" if given else url

    def _json(
        self,
        verb: str,
        method: str,
        kind: str,
        name: str,
        *,
        path: str | None = None,
        query: dict[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        url = self._url(kind, name if path is None else path, query=query)
        return self.session.document(verb, method, kind, url, f"{verb} {kind} {name}".rstrip(), body, content_type)
