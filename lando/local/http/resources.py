"""The verbs on resources: what a request that names a kind of objects does to the store, and what it answers."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from typing import Any, cast, get_args

from lando.local.http import tables
from lando.local.http.exchange import Answer, Request, Streaming, json_answer
from lando.local.http.options import DeleteOptions, ListOptions, dry_run
from lando.local.http.pod_logs import PodLogs
from lando.local.http.routing import RequestInfo
from lando.local.rules import patches, schema, status
from lando.local.rules.kinds import BY_RESOURCE, Kind
from lando.local.rules.status import ApiError, Manifest
from lando.local.store.objects import ObjectStore, Subresource
from lando.local.store.paging import Listing
from lando.local.store.watching import Subscription

WATCH_TIMEOUT_S = (1800.0, 3600.0)
"""A watch without ``timeoutSeconds`` ends somewhere in between, as with the real API server."""
_IDLE_S = 60.0

_SUBRESOURCES: dict[str, dict[str, frozenset[str]]] = {
    "": {"": frozenset({"get", "update", "patch", "delete"})},
    "pods": {"log": frozenset({"get"}), "binding": frozenset({"create"})},
    "namespaces": {"finalize": frozenset({"update"})},
}
_NOT_OFFERED = {
    "exec": "programs can't be started in containers (kubectl exec, cp): look at logs, or mount a volume",
    "attach": "nothing can be attached to containers (kubectl attach): follow their logs with kubectl logs -f",
    "portforward": "pods have no network of their own (kubectl port-forward): they listen on this machine",
    "ephemeralcontainers": "pods take no further containers (kubectl debug)",
    "eviction": "pods can't be evicted: delete them",
}
"""Subresources of pods that a real cluster has and the embedded one has not, and why."""
_APPLY_TYPES = ("application/apply-patch+yaml", "application/apply-patch+cbor")
_NO_SERVER_SIDE_APPLY = "the embedded cluster has no server-side apply: apply without --server-side"
_STATUS_VERBS = frozenset({"get", "update", "patch"})
_COLLECTION_VERBS = frozenset({"list", "watch", "create", "deletecollection"})


class Resources:
    """Serves the kinds of :data:`lando.local.rules.kinds.KINDS`."""

    def __init__(self, store: ObjectStore, logs: PodLogs) -> None:
        self._store = store
        self._logs = logs
        self._watches: set[Subscription] = set()
        self._closing = False

    def close(self) -> None:
        """End every watch and begin no more. To be called from any thread."""
        self._closing = True
        for subscription in list(self._watches):
            subscription.close()

    async def answer(self, info: RequestInfo, request: Request) -> Answer | Streaming:
        """Do what the request asks. Raises ApiError."""
        if (info.group, info.version, info.resource) == ("", "v1", "services"):
            return _no_services(info, request)
        kind = _kind(info)
        if not info.name:
            return await self._on_collection(kind, info, request)
        if info.verb not in _allowed(kind, info.subresource):
            raise status.method_not_allowed()
        if info.subresource == "log":
            return await self._logs.answer(info.namespace, info.name, request.query)
        request.check_acceptable()
        namespace = info.namespace if kind.namespaced else ""
        if info.verb == "get":
            manifest = self._store.get(kind.resource, namespace, info.name)
            if tables.wanted(request.headers.get("accept", "")):
                return json_answer(200, tables.table(kind.kind, [manifest], {}, include=_included(request)))
            return json_answer(200, manifest)
        if info.verb == "delete":
            options = DeleteOptions.read(request.query, await _options_body(request))
            return self._delete(kind, namespace, info.name, options)
        if info.subresource == "binding":
            return await self._bind(info, request)
        if info.verb == "patch":
            return await self._patch(kind, namespace, info, request)
        return await self._update(kind, namespace, info, request)

    async def _on_collection(self, kind: Kind, info: RequestInfo, request: Request) -> Answer | Streaming:
        if info.verb not in _COLLECTION_VERBS:
            raise status.method_not_allowed()
        request.check_acceptable()
        if info.verb == "create":
            if kind.namespaced and not info.namespace:
                raise status.method_not_allowed()
            return await self._create(kind, info, request)
        namespace = (info.namespace or None) if kind.namespaced else ""
        options = ListOptions.read(request.query, watching=info.verb == "watch")
        if info.verb == "watch":
            as_table = tables.wanted(request.headers.get("accept", ""))
            table = tables.EventTables(kind.kind, _included(request)) if as_table else None
            return self._watch(kind, namespace, options, table)
        listing = self._store.list(
            kind.resource,
            namespace,
            label_selector=options.label_selector,
            field_selector=options.field_selector,
            limit=options.limit,
            continue_=options.continue_,
            resource_version=options.resource_version,
            exact=options.exact,
        )
        if info.verb == "deletecollection":
            deletion = DeleteOptions.read(request.query, await _options_body(request))
            for item in listing.items:
                metadata = item["metadata"]
                try:
                    self._delete(kind, metadata.get("namespace", ""), metadata["name"], deletion)
                except ApiError as error:
                    if error.code != 404:
                        raise
        if tables.wanted(request.headers.get("accept", "")):
            metadata, include = _list_metadata(listing), _included(request)
            return json_answer(200, tables.table(kind.kind, listing.items, metadata, include=include))
        return Answer(200, _list_body(kind, listing))

    # -- one object --------------------------------------------------------------------------------------------------

    async def _create(self, kind: Kind, info: RequestInfo, request: Request) -> Answer:
        manifest = await request.document()
        dry = dry_run("CreateOptions", request.query.getlist("dryRun"))
        warnings = _check_fields(kind, manifest, request)
        namespace = info.namespace if kind.namespaced else ""
        return json_answer(201, self._store.create(kind.resource, namespace, manifest, dry_run=dry), warnings)

    async def _update(self, kind: Kind, namespace: str, info: RequestInfo, request: Request) -> Answer:
        manifest = await request.document()
        dry = dry_run("UpdateOptions", request.query.getlist("dryRun"))
        warnings = _check_fields(kind, manifest, request)
        name = (manifest.get("metadata") or {}).get("name")
        if not name:
            raise status.bad_request(
                f"the name of the object ({info.name} based on URL) was undeterminable: name must be provided"
            )
        if name != info.name:
            raise status.bad_request(
                f"the name of the object ({name}) does not match the name on the URL ({info.name})"
            )
        try:
            updated = self._store.update(
                kind.resource, namespace, manifest, subresource=_writable(info.subresource), dry_run=dry
            )
        except ApiError as error:
            if error.code != 404 or not kind.created_by_update:
                raise
            # The version says nothing about an object that is not there.
            manifest["metadata"].pop("resourceVersion", None)
            return json_answer(201, self._store.create(kind.resource, namespace, manifest, dry_run=dry), warnings)
        return json_answer(200, updated, warnings)

    async def _patch(self, kind: Kind, namespace: str, info: RequestInfo, request: Request) -> Answer:
        if request.media_type in _APPLY_TYPES:
            raise status.ApiError(415, "UnsupportedMediaType", _NO_SERVER_SIDE_APPLY, {})
        if request.media_type not in patches.PATCH_TYPES:
            raise status.unsupported_media_type(patches.PATCH_TYPES)
        patch = await request.document(patch=True)
        patched = self._store.patch(
            kind.resource,
            namespace,
            info.name,
            patch,
            patch_type=request.media_type,
            subresource=_writable(info.subresource),
            dry_run=dry_run("PatchOptions", request.query.getlist("dryRun")),
        )
        return json_answer(200, patched)

    async def _bind(self, info: RequestInfo, request: Request) -> Answer:
        binding = await request.document()
        node = ((binding if isinstance(binding, dict) else {}).get("target") or {}).get("name")
        if not node:
            raise status.invalid("Binding", "", info.name, [status.required("target.name")])

        def assign(pod: Manifest) -> None:
            pod["spec"]["nodeName"] = node

        self._store.modify("pods", info.namespace, info.name, assign, subresource="binding")
        return json_answer(
            201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
        )

    def _delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions) -> Answer:
        deletion = self._store.delete(
            kind.resource,
            namespace,
            name,
            propagation=options.propagation,
            uid=options.uid,
            resource_version=options.resource_version,
            grace_period_s=options.grace_period_s,
            dry_run=options.dry_run,
        )
        if not deletion.gone or kind.returns_deleted:
            return json_answer(200, deletion.manifest)
        details = {"name": name, "kind": kind.resource, "uid": deletion.manifest["metadata"]["uid"]}
        if kind.group:
            details["group"] = kind.group
        return json_answer(
            200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        )

    # -- watching ----------------------------------------------------------------------------------------------------

    def _watch(
        self, kind: Kind, namespace: str | None, options: ListOptions, table: tables.EventTables | None
    ) -> Streaming:
        """The stream of a watch. A version that is too old is told as an event, as the real API server does it."""
        if self._closing:
            raise status.too_many_requests("the API server is stopping")
        try:
            subscription = self._store.watch(
                kind.resource,
                namespace,
                label_selector=options.label_selector,
                field_selector=options.field_selector,
                resource_version=options.resource_version,
                bookmarks=options.bookmarks,
                timeout_s=options.timeout_s or random.uniform(*WATCH_TIMEOUT_S),  # noqa: S311 - spreads load, no secret
                initial_events=options.initial_events,
            )
        except ApiError as error:
            if error.code != 410:
                raise
            return Streaming(_only(_error_line(error)))
        self._watches.add(subscription)
        return Streaming(self._lines(subscription, table))

    async def _lines(self, subscription: Subscription, table: tables.EventTables | None) -> AsyncGenerator[bytes, None]:
        """Events, one per line, until the time is up or the server stops."""
        try:
            while True:
                event = await subscription.aget(_IDLE_S)
                if event is not None:
                    yield event.line() if table is None else table.line(event)
                elif subscription.closed:
                    return
        except ApiError as error:
            yield _error_line(error)
        finally:
            self._watches.discard(subscription)
            subscription.close()


def _error_line(error: ApiError) -> bytes:
    return json_answer(200, {"type": "ERROR", "object": error.body()}).body


async def _only(chunk: bytes) -> AsyncGenerator[bytes, None]:
    yield chunk


def _no_services(info: RequestInfo, request: Request) -> Answer:
    """There are no Services, as there is no network; who asks which there are (kubectl cluster-info) is told so."""
    if info.name and info.verb == "get":
        raise status.not_found("services", "", info.name)
    if info.verb != "list":
        words = "not in the embedded cluster: Services reach nothing, as pods listen on this machine"
        raise ApiError(405, "MethodNotAllowed", words, {})
    if tables.wanted(request.headers.get("accept", "")):
        return json_answer(200, tables.table("Service", [], {"resourceVersion": "0"}))
    return json_answer(200, {"kind": "ServiceList", "apiVersion": "v1", "metadata": {}, "items": []})


def _included(request: Request) -> tables.Include:
    """What a table's rows carry of their objects: ``includeObject``."""
    asked = request.query.get("includeObject", "Metadata")
    for include in get_args(tables.Include):
        if include == asked:
            return cast("tables.Include", include)
    errors = [status.unsupported("includeObject", asked, get_args(tables.Include))]
    raise status.invalid_options("TableOptions", errors)


def _kind(info: RequestInfo) -> Kind:
    kind = BY_RESOURCE.get(info.resource or "")
    if kind is None or (info.group, info.version) != (kind.group, kind.version):
        raise status.unknown_route()
    if info.name and kind.namespaced and not info.namespace:
        raise status.unknown_route()
    if info.namespace and not kind.namespaced and info.resource != "namespaces":
        raise status.unknown_route()
    return kind


def _allowed(kind: Kind, subresource: str) -> frozenset[str]:
    """The verbs on one object or its subresource; ApiError 404 when there is no such subresource."""
    if not subresource:
        return _SUBRESOURCES[""][""]
    if subresource == "status" and kind.has_status:
        return _STATUS_VERBS
    verbs = _SUBRESOURCES.get(kind.resource, {}).get(subresource)
    if verbs is None and kind.resource == "pods" and subresource in _NOT_OFFERED:
        words = f"not in the embedded cluster: {_NOT_OFFERED[subresource]}"
        raise ApiError(405, "MethodNotAllowed", words, {})
    if verbs is None:
        raise status.unknown_route()
    return verbs


def _writable(subresource: str) -> Subresource | None:
    if subresource == "status":
        return "status"
    return "finalize" if subresource == "finalize" else None


async def _options_body(request: Request) -> Manifest:
    body = await request.document()
    if body is None:
        return {}
    if not isinstance(body, dict):
        raise status.bad_request("DeleteOptions is a JSON object")
    return body


def _check_fields(kind: Kind, manifest: Any, request: Request) -> dict[str, str]:
    """What the client's ``fieldValidation`` makes of unknown fields: ApiError 400 (Strict), or warnings (Warn)."""
    if not isinstance(manifest, dict):
        raise status.bad_request(f"the object provided is unrecognized (must be of type {kind.kind})")
    if not isinstance(manifest.get("metadata") or {}, dict):
        raise status.bad_request("metadata is a JSON object")
    mode = request.query.get("fieldValidation", "Warn")
    if mode == "Ignore":
        return {}
    _, unknown = schema.conform(kind.kind, manifest)
    if unknown and mode == "Strict":
        raise schema.strict_error(kind.kind, manifest, unknown)
    if not unknown:
        return {}
    listed = ", ".join(path.encode("ascii", "replace").decode() for path in unknown[:10])
    return {"warning": f'299 - "unknown field(s): {listed}"'}


def _list_metadata(listing: Listing) -> Manifest:
    metadata: Manifest = {"resourceVersion": listing.resource_version}
    if listing.continue_token is not None:
        metadata["continue"] = listing.continue_token
    if listing.remaining is not None:
        metadata["remainingItemCount"] = listing.remaining
    return metadata


def _list_body(kind: Kind, listing: Listing) -> bytes:
    """The list as JSON; like the real API server's, its items say neither kind nor apiVersion."""
    head = {"kind": kind.list_kind, "apiVersion": kind.api_version, "metadata": _list_metadata(listing)}
    prefix = json_answer(200, head).body.rstrip()[:-1]
    typed = len(f'{{"apiVersion":"{kind.api_version}","kind":"{kind.kind}",')
    items = b",".join(b"{" + raw[typed:] for raw in listing.raw_items)
    return prefix + b',"items":[' + items + b"]}\n"
