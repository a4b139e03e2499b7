"""The objects of the embedded cluster: stored, versioned, watched.

One store holds all kinds. Every change gets the next number of one counter, the ``resourceVersion``; the last changes
are remembered, so that watches resume and paged lists stay consistent; asking for what is forgotten is answered with
410 ``Expired``. Manifests handed in are copied, manifests handed out are the caller's own.

All methods may be called from any thread; none waits for anything but the lock and the disk.
They raise :class:`lando.local.rules.status.ApiError`, worded as the real API server words it.
"""

from __future__ import annotations

import copy
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from lando.local.rules import lifecycle, status
from lando.local.rules.kinds import BY_RESOURCE, Kind
from lando.local.rules.patches import MERGE_PATCH, apply_patch
from lando.local.rules.selectors import pinned_labels
from lando.local.rules.status import Manifest
from lando.local.store.admission import Admission
from lando.local.store.collection import Collection
from lando.local.store.history import Change, History, Match, Place, Stored
from lando.local.store.paging import NOW, Listing, matching, page_of, read_token, write_token
from lando.local.store.persistence import ObjectFile
from lando.local.store.watching import Event, Subscription, bookmark

Subresource = Literal["status", "binding", "finalize"]
Propagation = Literal["Background", "Foreground", "Orphan"]

NAME_TRIES = 8
"""Names made up for one object before the server gives up."""
HISTORY_LIMIT = 5_000
"""Changes remembered for resuming watches and continuing lists."""
HISTORY_BYTES = 8 * 1024 * 1024
"""How much JSON the remembered changes may hold together."""


@dataclass(frozen=True, kw_only=True)
class Deletion:
    """The answer to a delete."""

    manifest: Manifest
    gone: bool
    """False while finalizers or a grace period hold the object; it then has a deletionTimestamp."""


class ObjectStore:
    """Every object of the cluster.

    ``resource`` is the plural of the path (``pods``, ``jobs``, …), ``namespace`` is "" for kinds without one; where
    ``list`` and ``watch`` take None it means all namespaces.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        history_limit: int = HISTORY_LIMIT,
    ) -> None:
        """Open the state at ``path``; None keeps it in memory only."""
        self._lock = threading.RLock()
        self._clock = clock
        self._file = ObjectFile(path)
        self._version = max(self._file.version(), 1)
        self._history = History(self._version, history_limit, HISTORY_BYTES)
        self._subscriptions: list[tuple[Kind | None, Match, Subscription]] = []
        self._admission = Admission(self.find, lambda resource, namespace: self.list(resource, namespace).items)
        self._objects = {resource: Collection() for resource in BY_RESOURCE}
        for resource, version, raw in self._file.objects():
            self._objects[resource].put(Stored.of(BY_RESOURCE[resource], json.loads(raw), version, raw))

    @property
    def resource_version(self) -> str:
        """The version of the newest change."""
        return str(self._version)

    def close(self) -> None:
        """End all subscriptions and close the file; nothing may be called afterwards."""
        with self._lock:
            for _, _, subscription in self._subscriptions:
                subscription.close()
            self._subscriptions.clear()
            self._file.close()

    # -- reading -----------------------------------------------------------------------------------------------------

    def get(self, resource: str, namespace: str, name: str) -> Manifest:
        """One object; ApiError 404 when there is none."""
        return self._stored(_kind(resource), namespace, name).manifest()

    def find(self, resource: str, namespace: str, name: str) -> Manifest | None:
        """One object, or None."""
        with self._lock:
            stored = self._objects[_kind(resource).resource].get((namespace, name))
        return None if stored is None else stored.manifest()

    def list(
        self,
        resource: str,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_: str = "",
        resource_version: str = "",
        exact: bool = False,
    ) -> Listing:
        """Objects in the order of namespace and name, as of one moment.

        ``limit`` > 0 pages; ``continue_`` is the token of the page before and keeps its moment: ApiError 410, with a
        token that goes on regardless, when that is too long ago. ``exact`` lists as of ``resource_version``; otherwise
        it is only a lower bound.
        """
        kind = _kind(resource)
        match = matching(kind, label_selector, field_selector)
        with self._lock:
            start, version = ("", ""), self._version
            if continue_:
                moment, start = read_token(continue_)
                version = self._version if moment == NOW else moment
            elif resource_version not in ("", "0"):
                asked = parse_version(resource_version)
                if asked > self._version:
                    raise status.too_large_version(asked, self._version)
                if exact:
                    version = asked
            candidates = self._objects[kind.resource].candidates(pinned_labels(label_selector))
            objects = self._as_of(kind, candidates, version, write_token(NOW, start) if continue_ else None)
        here = {place: stored for place, stored in objects.items() if place > start and namespace in (None, place[0])}
        return page_of(here, match, version, limit=limit, is_selective=bool(label_selector or field_selector))

    def watch(
        self,
        resource: str | None,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        bookmarks: bool = False,
        timeout_s: float | None = None,
        initial_events: bool | None = None,
    ) -> Subscription:
        """Changes after ``resource_version``, in order; ``resource`` None watches every kind.

        Without a version (or "0") what is there now comes first as ``ADDED`` events. With ``initial_events`` that is
        asked for explicitly, and a bookmark marks its end. An object that stops matching the selectors is ``DELETED``
        for this watcher. Raises ApiError 410 when ``resource_version`` is no longer, or not yet, known.
        """
        kind = None if resource is None else _kind(resource)
        match = matching(kind, label_selector, field_selector, namespace)
        with self._lock:
            synthetic = initial_events if initial_events is not None else resource_version in ("", "0")
            since = self._version
            if not synthetic and resource_version not in ("", "0"):
                since = parse_version(resource_version)
                if not self._history.forgotten <= since <= self._version:
                    raise status.expired(f"too old resource version: {since} ({self._history.forgotten + 1})")
            subscription = Subscription(since, _bookmarker(kind) if bookmarks and kind is not None else None, timeout_s)
            first: list[Event] = []
            if synthetic:
                first = [stored.event("ADDED") for stored in self._present(kind) if match(stored)]
                if initial_events and bookmarks and kind is not None:
                    first.append(bookmark(kind.kind, kind.api_version, self._version, initial_end=True))
            else:
                changes = self._history.after(since)
                events = (change.event(match) for change in changes if kind in (None, change.kind))
                first = [event for event in events if event is not None]
            subscription.preload(first)
            self._subscriptions = [entry for entry in self._subscriptions if not entry[2].closed]
            self._subscriptions.append((kind, match, subscription))
            return subscription

    # -- writing -----------------------------------------------------------------------------------------------------

    def create(self, resource: str, namespace: str, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Store a new object: named (or named by ``generateName``), given a uid, defaulted and validated.

        Raises ApiError 409 when the name is taken, 422 with a cause per field when the object is not valid, 404 when
        the namespace is not there and 403 when that is being deleted or its quotas and limits forbid it.
        """
        kind = _kind(resource)
        with self._lock:
            new = self._prepared(kind, namespace, manifest)
            admitted = self._admission.check_create(kind, new) if kind.namespaced else ()
            name = new["metadata"]["name"]
            if (namespace, name) in self._objects[resource]:
                raise status.already_exists(kind.resource, kind.group, name)
            self._note(admitted, dry_run=dry_run)
            return self._put(kind, None, new, dry_run=dry_run)

    def update(
        self,
        resource: str,
        namespace: str,
        manifest: Manifest,
        *,
        subresource: Subresource | None = None,
        dry_run: bool = False,
    ) -> Manifest:
        """Replace an object. With a ``metadata.resourceVersion`` only that very version (409 Conflict otherwise).

        Without ``subresource`` the status stays as it is; ``"status"`` writes only status and metadata; ``"binding"``
        assigns a pod to the node in ``spec.nodeName``; ``"finalize"`` sets a namespace's ``spec.finalizers``. Removing
        the last finalizer of an object that is being deleted removes the object. Raises ApiError 404, 409 and 422.
        """
        kind = _kind(resource)
        name = str((manifest.get("metadata") or {}).get("name") or "")
        with self._lock:
            old = self._objects[resource].get((namespace, name))
            if old is None:
                raise lifecycle.nothing_to_update(kind, manifest)
            before = old.manifest()
            new = lifecycle.prepare_update(kind, before, manifest, subresource)
            if new == before:
                return before
            if subresource is None and kind.namespaced:
                self._note(self._admission.check_update(kind, new, before), dry_run=dry_run)
            return self._put(kind, old, new, dry_run=dry_run)

    def update_status(self, resource: str, namespace: str, manifest: Manifest) -> Manifest:
        """:meth:`update` of the status subresource."""
        return self.update(resource, namespace, manifest, subresource="status")

    def modify(
        self,
        resource: str,
        namespace: str,
        name: str,
        change: Callable[[Manifest], None],
        *,
        subresource: Subresource | None = None,
        uid: str | None = None,
    ) -> Manifest:
        """Read, let ``change`` alter the copy in place, write: as one step, so without conflicts.

        With ``uid`` only that very object (409 otherwise). ``change`` must be quick: it runs under the store's lock.
        """
        with self._lock:
            manifest = self.get(resource, namespace, name)
            if uid is not None and manifest["metadata"]["uid"] != uid:
                raise lifecycle.uid_conflict(_kind(resource), name, uid, manifest["metadata"]["uid"])
            change(manifest)
            return self.update(resource, namespace, manifest, subresource=subresource)

    def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        patch: Any,
        *,
        patch_type: str = MERGE_PATCH,
        subresource: Subresource | None = None,
        dry_run: bool = False,
    ) -> Manifest:
        """Apply a patch of one of :data:`.patches.PATCH_TYPES` (a media type); as :meth:`update` otherwise.

        A ``metadata.resourceVersion`` in the patch makes it conditional.
        """
        with self._lock:
            old = self.get(resource, namespace, name)
            new = apply_patch(patch_type, copy.deepcopy(old), patch)
            lifecycle.check_same_object(_kind(resource), old, new)
            try:
                return self.update(resource, namespace, new, subresource=subresource, dry_run=dry_run)
            except status.UndecodableError as error:
                raise status.invalid_patch(error.detail) from None

    def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        propagation: Propagation | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        grace_period_s: int | None = None,
        dry_run: bool = False,
    ) -> Deletion:
        """Delete an object, or begin to.

        ``propagation`` None is the kind's default (Background; for Jobs Orphan, as the real API has it). ``uid`` and
        ``resource_version`` are preconditions: ApiError 409 when another object stands there by now.
        A pod that was assigned to a node and is not finished gets a deletionTimestamp and its grace period (30 s
        unless given here or in its spec); its kubelet ends it and deletes it with ``grace_period_s=0``.
        """
        kind = _kind(resource)
        with self._lock:
            old = self._stored(kind, namespace, name)
            manifest = old.manifest()
            lifecycle.check_preconditions(kind, manifest, uid, resource_version)
            new = lifecycle.begin_deletion(kind, manifest, propagation, grace_period_s, self._clock())
            if new is None:
                return Deletion(manifest=self._remove(kind, old, manifest, dry_run=dry_run), gone=True)
            if new == manifest:
                return Deletion(manifest=manifest, gone=False)
            return Deletion(manifest=self._put(kind, old, new, dry_run=dry_run), gone=False)

    # -- inside, under the lock --------------------------------------------------------------------------------------

    def _stored(self, kind: Kind, namespace: str, name: str) -> Stored:
        with self._lock:
            stored = self._objects[kind.resource].get((namespace, name))
        if stored is None:
            raise status.not_found(kind.resource, kind.group, name)
        return stored

    def _prepared(self, kind: Kind, namespace: str, manifest: Manifest) -> Manifest:
        """The new object; a name that the server makes up is one that is free, if a few tries find one."""
        generated = not (manifest.get("metadata") or {}).get("name")
        for _ in range(NAME_TRIES):
            new = lifecycle.prepare_create(kind, namespace, manifest, self._clock(), self._admission.fill_up)
            name = new["metadata"]["name"]
            if not generated or (namespace, name) not in self._objects[kind.resource]:
                return new
        raise status.already_exists(kind.resource, kind.group, name, generated=True)

    def _note(self, admitted: Sequence[Manifest], *, dry_run: bool) -> None:
        """Write down what the quotas have given away."""
        if not dry_run:
            for quota in admitted:
                self.update_status("resourcequotas", quota["metadata"]["namespace"], quota)

    def _put(self, kind: Kind, old: Stored | None, new: Manifest, *, dry_run: bool) -> Manifest:
        """Write ``new``; an object whose deletion is complete goes."""
        if old is not None and lifecycle.deletion_complete(new):
            return self._remove(kind, old, new, dry_run=dry_run)
        if dry_run:
            if old is None:
                new["metadata"].pop("resourceVersion", None)
            return new
        stored = self._versioned(kind, new)
        self._commit(Change(kind, old, stored, stored))
        return stored.manifest()

    def _remove(self, kind: Kind, old: Stored, last: Manifest, *, dry_run: bool) -> Manifest:
        if dry_run:
            return old.manifest()
        stored = self._versioned(kind, last)
        self._commit(Change(kind, old, None, stored))
        return stored.manifest()

    def _versioned(self, kind: Kind, manifest: Manifest) -> Stored:
        """``manifest`` as the next version."""
        version = self._version + 1
        metadata = {**manifest["metadata"], "resourceVersion": str(version)}
        # apiVersion, kind and metadata lead, for people's eyes.
        versioned = {
            "apiVersion": manifest["apiVersion"],
            "kind": manifest["kind"],
            "metadata": metadata,
            **{key: value for key, value in manifest.items() if key not in ("apiVersion", "kind", "metadata")},
        }
        raw = json.dumps(versioned, ensure_ascii=False, separators=(",", ":")).encode()
        return Stored.of(kind, json.loads(raw), version, raw)

    def _commit(self, change: Change) -> None:
        """Write the change down, then make it known."""
        last, resource = change.last, change.kind.resource
        body = None if change.after is None else last.raw
        try:
            self._file.write(resource, last.namespace, last.name, change.version, body)
        except sqlite3.Error as error:
            raise status.internal(f"the cluster's state can't be written: {error}") from error
        self._version = change.version
        if change.after is None:
            self._objects[resource].remove(last.place)
        else:
            self._objects[resource].put(change.after)
        self._history.add(change)
        ended = False
        for kind, match, subscription in self._subscriptions:
            concerned = kind in (None, change.kind)
            subscription.push(change.event(match) if concerned else None, change.version)
            ended = ended or subscription.closed
        if ended:
            self._subscriptions = [entry for entry in self._subscriptions if not entry[2].closed]

    def _present(self, kind: Kind | None) -> Iterator[Stored]:
        for resource in [kind.resource] if kind is not None else list(self._objects):
            yield from self._objects[resource]

    def _as_of(
        self, kind: Kind, candidates: dict[Place, Stored], version: int, go_on: str | None
    ) -> dict[Place, Stored]:
        """``candidates`` of ``kind`` at ``version``: today's, with the changes since taken back.

        ``go_on`` is the token with which a list can be continued when that moment is forgotten.
        """
        if not self._history.forgotten <= version <= self._version:
            if go_on is not None:
                raise status.expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start a "
                    "new list without the continue parameter, or go on with the continue token in this response: the "
                    "list is then not as of one moment.",
                    continue_=go_on,
                )
            raise status.expired(f"The resourceVersion for the provided list is too old: {version}")
        return self._history.undone(candidates, kind, version)


def parse_version(text: str) -> int:
    """A resourceVersion as a number; ApiError 400 when it is none."""
    if not (text.isascii() and text.isdecimal()):
        raise status.bad_request(f"invalid resource version {text!r}: it is a number, taken from an earlier answer")
    return int(text)


def _kind(resource: str) -> Kind:
    kind = BY_RESOURCE.get(resource)
    if kind is None:
        raise status.unknown_route()
    return kind


def _bookmarker(kind: Kind) -> Callable[[int], Event]:
    return lambda version: bookmark(kind.kind, kind.api_version, version)
