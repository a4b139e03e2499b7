"""The calls Lando makes to a Kubernetes API, and no others; objects are plain JSON dictionaries."""

from __future__ import annotations

import copy
import http.client
import json
import logging
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self
from urllib.parse import quote, urlencode

import kubernetes.client
import urllib3

from lando.config import ClusterSettings
from lando.config.secrets import Credential
from lando.errors import ConfigError, Expired, Unavailable
from lando.k8s import cluster_errors, cluster_login
from lando.k8s.cluster_clock import ClusterClock
from lando.k8s.cluster_streams import Events, Lines, TextLines
from lando.k8s.permissions import Permission

Manifest = dict[str, Any]

log = logging.getLogger(__name__)


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

    def follow_pod_log(self, pod: str, container: str) -> LogLines:
        """The log from its beginning, line by line, until the container ends."""
        ...

    def may(self, permission: Permission) -> bool:
        """Whether our own account has this permission in the namespace; asking needs no permission."""
        ...


CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0
WATCH_GRACE_S = 15.0  # beyond the time the server was asked to end a watch by itself
FOLLOW_SILENCE_S = 3600.0  # a followed log may say nothing for long; a dead peer is found by TCP keep-alive
PAGE_SIZE = 500
MAX_ANSWER = 128 * 1024 * 1024  # bytes; a page of 500 objects stays far below it
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
    """The calls over HTTPS with one warm session; safe to use from several threads.

    Logs in with host and token, a kubeconfig, or the pod's own account (whose token is read again every minute,
    as it is rotated). A token from a file is read again when it is refused.
    ``on_call`` is told verb and kind of each request, for counting.
    Raises ConfigError when the settings can't work.
    """

    def __init__(self, settings: ClusterSettings, *, on_call: Callable[[str, str], None] | None = None) -> None:
        self._namespace = settings.namespace
        self._configuration = cluster_login.configuration(settings)
        self._token = Credential(settings.token) if settings.token is not None else None
        self._settings = settings
        self._on_call = on_call or (lambda verb, kind: None)
        self._clock = ClusterClock()
        self._client = kubernetes.client.ApiClient(self._configuration)
        self._pool: urllib3.PoolManager = self._client.rest_client.pool_manager

    @property
    def namespace(self) -> str:
        return self._namespace

    @property
    def url(self) -> str:
        """Of the API, as the settings name it."""
        return str(self._configuration.host).rstrip("/")

    @property
    def proxy(self) -> str | None:
        """The address of the proxy on the way; None where there is none."""
        return self._configuration.proxy or None

    def bearer_token(self) -> str | None:
        """What it shows the cluster now; None where it logs in otherwise."""
        token = self._token.value if self._token is not None else None
        shown = {key.lower(): value for key, value in self._authorization(token).items()}
        scheme, _, value = shown.get("authorization", "").partition(" ")
        return value if scheme.lower() == "bearer" else None

    def client_configuration(self) -> Any:
        """How the official client logs in to the same cluster, for those who use that; the token is as current as
        here."""
        configuration = copy.deepcopy(self._configuration)
        if self._token is not None:
            token = self._token

            def show(shown: Any) -> None:
                shown.api_key["authorization"] = f"Bearer {token.value}"

            configuration.api_key = {"authorization": ""}
            configuration.refresh_api_key_hook = show
        return configuration

    def now(self) -> datetime:
        """The cluster's own time, as far as it has answered yet; else this machine's."""
        return self._clock.now()

    def close(self) -> None:
        """Drop the session's idle connections."""
        self._client.close()  # type: ignore[no-untyped-call]

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

    # -- the cluster itself --------------------------------------------------------------------------------------

    def ask(self, path: str, question: Manifest | None = None) -> Manifest:
        """GET ``path`` of the API, or POST ``question`` to it: what only the doctor wants to know. Changes nothing but
        what the question does, such as a review or a dry run."""
        method, verb = ("GET", "get") if question is None else ("POST", "create")
        return self._document(verb, method, path, f"{self.url}{path}", f"{method} {path}", question)

    def may(self, permission: Permission) -> bool:
        """Whether our own account has this permission in the namespace; asking needs no permission."""
        attributes = {"namespace": self._namespace, **permission.attributes()}
        question = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        return bool((self.ask(REVIEWS, question).get("status") or {}).get("allowed"))

    def tls_context(self) -> ssl.SSLContext:
        """How it verifies the cluster's certificate, for a handshake beside its own session."""
        context = ssl.create_default_context(cafile=self._configuration.ssl_ca_cert)
        if not self._configuration.verify_ssl:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self._configuration.cert_file:
            context.load_cert_chain(self._configuration.cert_file, self._configuration.key_file)
        return context

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
        response = self._request("watch", "GET", kind, self._url(kind, query=query), what, timeout_s + WATCH_GRACE_S)
        return Events(Lines(response, what), what)

    def pod_log(
        self, pod: str, container: str, *, tail_lines: int | None = None, limit_bytes: int | None = None
    ) -> str:
        what = f"read the log of {pod}/{container}"
        query = {"container": container, "tailLines": "" if tail_lines is None else str(tail_lines)}
        url = self._url("Pod", pod, "log", query=query)
        response = self._request("log", "GET", "Pod", url, what, READ_TIMEOUT_S)
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

    def follow_pod_log(self, pod: str, container: str) -> LogLines:
        what = f"follow the log of {pod}/{container}"
        url = self._url("Pod", pod, "log", query={"container": container, "follow": "true"})
        return TextLines(Lines(self._request("log", "GET", "Pod", url, what, FOLLOW_SILENCE_S), what))

    # -- one request ---------------------------------------------------------------------------------------------

    def _url(self, kind: str, *path: str, query: dict[str, str] | None = None) -> str:
        prefix, plural = _ROUTES[kind]
        url = f"{self.url}/{prefix}/namespaces/{quote(self._namespace, safe='')}/{plural}"
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
        return self._document(verb, method, kind, url, f"{verb} {kind} {name}".rstrip(), body, content_type)

    def _document(
        self,
        verb: str,
        method: str,
        kind: str,
        url: str,
        what: str,
        body: Manifest | None,
        content_type: str = "application/json",
    ) -> Manifest:
        response = self._request(verb, method, kind, url, what, READ_TIMEOUT_S, body, content_type)
        try:
            document = json.loads(_whole(response))
        except cluster_errors.TRANSPORT_ERRORS as error:
            raise cluster_errors.from_exception(error, what=what) from error
        if not isinstance(document, dict):
            raise Unavailable(cluster_errors.PEER, f"{what}: the answer is no JSON object")
        return document

    def _request(
        self,
        verb: str,
        method: str,
        kind: str,
        url: str,
        what: str,
        read_timeout_s: float,
        body: Manifest | None = None,
        content_type: str = "application/json",
    ) -> urllib3.BaseHTTPResponse:
        """Send it and return the open answer, or raise what its status means."""
        self._on_call(verb, kind)
        try:
            headers = {"Accept": "application/json, */*", "User-Agent": "lando"}
            if body is not None:
                headers["Content-Type"] = content_type
            response = self._send_signed(method, url, headers, body, read_timeout_s)
            self._clock.heard(response.headers.get("Date"))
            if 200 <= response.status < 300:
                return response
            answer = _whole(response)
        except cluster_errors.TRANSPORT_ERRORS as error:
            raise cluster_errors.from_exception(error, what=what) from error
        raise cluster_errors.from_answer(
            response.status,
            answer,
            what=what,
            writes=verb in ("create", "patch"),
            retry_after=response.headers.get("Retry-After"),
        )

    def _send_signed(
        self, method: str, url: str, headers: dict[str, str], body: Manifest | None, read_timeout_s: float
    ) -> urllib3.BaseHTTPResponse:
        while True:
            token = self._token.value if self._token is not None else None
            signed = {**headers, **self._authorization(token)}
            response = self._send(method, url, signed, body, read_timeout_s)
            if response.status != 401:
                return response
            if token is None or self._token is None:
                if not self._kubeconfig_renewed(signed):
                    return response
            elif not self._token.renewed(token):
                return response
            response.drain_conn()  # and with that its connection is free again

    def _send(
        self, method: str, url: str, headers: dict[str, str], body: Manifest | None, read_timeout_s: float
    ) -> urllib3.BaseHTTPResponse:
        data = None if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

        def send() -> urllib3.BaseHTTPResponse:
            return self._pool.request(
                method,
                url,
                body=data,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s),
                preload_content=False,
                retries=False,
                redirect=False,
            )

        try:
            return send()
        except urllib3.exceptions.ProtocolError:
            # A kept connection that the server closed just as we used it; to read twice changes nothing.
            if method != "GET":
                raise
            return send()

    def _kubeconfig_renewed(self, refused: dict[str, str]) -> bool:
        """Whether the kubeconfig, read again, logs in otherwise than with the headers that were refused."""
        if self._settings.kubeconfig is None:
            return False
        fresh = kubernetes.client.Configuration()
        try:
            cluster_login.read_kubeconfig(self._settings, fresh)
        except ConfigError as error:
            log.warning("%s", error)
            return False
        self._configuration.api_key = fresh.api_key
        self._configuration.refresh_api_key_hook = fresh.refresh_api_key_hook
        return not self._authorization().items() <= refused.items()

    def _authorization(self, token: str | None = None) -> dict[str, str]:
        if token is not None:
            return {"Authorization": f"Bearer {token}"}
        return {
            str(entry["key"]): str(entry["value"])
            for entry in self._configuration.auth_settings().values()
            if entry["in"] == "header" and entry["value"]
        }


def _whole(response: urllib3.BaseHTTPResponse) -> bytes:
    """The answer's whole body; its connection goes back to the pool."""
    try:
        body = response.read(MAX_ANSWER)
        if response.read(1):
            raise http.client.HTTPException(f"an answer of more than {MAX_ANSWER} bytes")
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return body
