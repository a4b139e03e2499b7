"""What happens to every object as it is created, changed and deleted, whatever its kind. Pure."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import uuid4

from lando.local.rules import status
from lando.local.rules.kinds import Kind
from lando.local.rules.metadata import generate_name_errors, immutable, no_new_finalizers, validate_metadata
from lando.local.rules.schema import conform
from lando.local.rules.status import ApiError, FieldError, Manifest

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
"""The finalizers with which the garbage collector holds an owner until its dependents are dealt with."""
NAMESPACE_FINALIZER = "kubernetes"
"""In a namespace's ``spec.finalizers`` until its contents are gone."""
_LASTING_NAMESPACES = frozenset({"default", "kube-public", "kube-system"})
DEFAULT_GRACE_S = 30
NAME_LIMIT = 253
_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""Without vowels and look-alikes, as in the names that Kubernetes makes."""
_GENERATED = 5
_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "namespace")
"""Metadata that only the server writes."""
_VERSION_MISSING = FieldError(
    field="metadata.resourceVersion",
    reason="FieldValueInvalid",
    message="Invalid value: 0x0: must be specified for an update",
)


def timestamp(moment: datetime) -> str:
    """``moment`` as Kubernetes writes times: UTC, whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def generated_name(prefix: str) -> str:
    """``prefix`` with five random characters, cut to what a name may have."""
    suffix = "".join(random.choices(_NAME_ALPHABET, k=_GENERATED))  # noqa: S311 - a name, no secret
    return prefix[: 63 - _GENERATED] + suffix


def prepare_create(
    kind: Kind,
    namespace: str,
    manifest: Manifest,
    now: datetime,
    fill_up: Callable[[Kind, Manifest], None] = lambda _kind, _manifest: None,
) -> Manifest:
    """The object to be stored for ``manifest``: a copy, named, defaulted and valid.

    ``fill_up`` adds, in place, what the namespace has its objects given.

    Raises ApiError 400 (wrong kind, wrong types, version given) and 422.
    """
    new = _typed(kind, manifest)
    metadata = new["metadata"]
    if metadata.get("resourceVersion"):
        raise status.bad_request("resourceVersion should not be set on objects to be created")
    _place(kind, metadata, namespace, existing=False)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generated_name(metadata["generateName"])
    if not metadata.get("name"):
        raise status.invalid(
            kind.kind, kind.group, "", [status.required("metadata.name", "name or generateName is required")]
        )
    for part in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
        metadata.pop(part, None)
    metadata["uid"] = str(uuid4())
    metadata["creationTimestamp"] = timestamp(now)
    if kind.has_generation:
        metadata["generation"] = 1
    if kind.has_status:
        new["status"] = {}
    kind.default(new)
    fill_up(kind, new)
    kind.initialise(new)
    _check(kind, new)
    return new


def prepare_update(kind: Kind, old: Manifest, manifest: Manifest, subresource: str | None) -> Manifest:
    """The object to be stored when ``manifest`` replaces ``old``.

    Raises ApiError 400, 409 (another version or uid was meant) and 422.
    """
    new = _typed(kind, manifest)
    metadata, old_metadata = new["metadata"], old["metadata"]
    if metadata.get("uid") and metadata["uid"] != old_metadata["uid"]:
        raise uid_conflict(kind, old_metadata["name"], metadata["uid"], old_metadata["uid"])
    if metadata.get("resourceVersion") and metadata["resourceVersion"] != old_metadata["resourceVersion"]:
        raise status.conflict(kind.resource, kind.group, old_metadata["name"])
    if kind.updates_need_version and not metadata.get("resourceVersion"):
        raise status.invalid(kind.resource, kind.group, old_metadata["name"], [_VERSION_MISSING])
    _place(kind, metadata, old_metadata.get("namespace", ""), existing=True)
    metadata["resourceVersion"] = old_metadata["resourceVersion"]
    for part in _KEPT:
        if part in old_metadata:
            metadata[part] = old_metadata[part]
        else:
            metadata.pop(part, None)
    if subresource == "binding":
        return _bound(old, new)
    if subresource == "status":
        return _with_status_of(old, new)
    if subresource == "finalize":
        return {**old, "spec": new.get("spec") or {}}
    if kind.has_status:
        new["status"] = copy.deepcopy(old.get("status") or {})
    kind.keep(new, old)
    kind.default(new)
    if kind.has_generation and new.get("spec") != old.get("spec"):
        metadata["generation"] = old_metadata["generation"] + 1
    _check(kind, new, old)
    return new


def _bound(old: Manifest, new: Manifest) -> Manifest:
    """The pod, assigned to the node that ``new`` names; once only."""
    name, node = old["metadata"]["name"], (new.get("spec") or {}).get("nodeName") or ""
    assigned = old["spec"].get("nodeName")
    if assigned and assigned != node:
        raise status.conflict("pods/binding", "", name, f"pod {name} is already assigned to node {assigned!r}")
    if "deletionTimestamp" in old["metadata"]:
        raise status.conflict("pods/binding", "", name, f"pod {name} is being deleted, cannot be assigned to a host")
    return {**old, "spec": {**old["spec"], "nodeName": node}}


def _with_status_of(old: Manifest, new: Manifest) -> Manifest:
    """``old`` with the status, labels and annotations of ``new``."""
    kept = {key: value for key, value in old.items() if key != "status"}
    kept["metadata"] = new["metadata"]
    return {**kept, "status": new.get("status") or {}}


def _typed(kind: Kind, manifest: Manifest) -> Manifest:
    """A copy of ``manifest`` with apiVersion, kind and metadata in place, and known fields of the right type only."""
    if not isinstance(manifest, dict):
        raise status.bad_request("the object provided is not a JSON object")
    given = (manifest.get("apiVersion") or kind.api_version, manifest.get("kind") or kind.kind)
    if given != (kind.api_version, kind.kind):
        raise status.bad_request(f'{given[1]} in version "{given[0]}" cannot be handled as a {kind.kind}')
    new, _ = conform(kind.kind, manifest)
    new["kind"], new["apiVersion"] = kind.kind, kind.api_version
    metadata = new.setdefault("metadata", {})
    for part in ("managedFields", "selfLink"):
        metadata.pop(part, None)
    for part in ("labels", "annotations", "finalizers", "ownerReferences"):
        if part in metadata and not metadata[part]:
            del metadata[part]
    return new


def _place(kind: Kind, metadata: Manifest, namespace: str, *, existing: bool) -> None:
    if not kind.namespaced:
        metadata.pop("namespace", None)
        return
    given = metadata.setdefault("namespace", namespace)
    if given != namespace:
        raise status.bad_request(
            f"the namespace of the object ({given}) does not match the namespace on the request ({namespace})"
            if existing
            else "the namespace of the provided object does not match the namespace sent on the request"
        )


def _check(kind: Kind, new: Manifest, old: Manifest | None = None) -> None:
    metadata = new["metadata"]
    errors = generate_name_errors(metadata, kind.validate_name) if old is None else []
    errors += validate_metadata(metadata, kind.validate_name(metadata["name"]) if old is None else None)
    errors += kind.validate(new)
    if old is not None:
        if "deletionTimestamp" in metadata:
            errors += no_new_finalizers(metadata.get("finalizers", []), old["metadata"].get("finalizers", []))
        errors += kind.validate_update(new, old)
    if errors:
        raise status.invalid(kind.kind, kind.group, metadata["name"], errors)


def check_same_object(kind: Kind, old: Manifest, new: Manifest) -> None:
    """A patch can't rename an object (ApiError 400) nor make another one of it (422)."""
    name, uid = old["metadata"]["name"], old["metadata"]["uid"]
    metadata = new.get("metadata") or {}
    if metadata.get("name") != name:
        given = metadata.get("name")
        raise status.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
    if metadata.get("uid", uid) != uid:
        raise status.invalid(kind.kind, kind.group, name, immutable("metadata.uid", metadata["uid"], uid))


def nothing_to_update(kind: Kind, manifest: Manifest) -> ApiError:
    """404, or 409 when a certain object was meant: that one is not there."""
    metadata = manifest.get("metadata") or {}
    name = str(metadata.get("name") or "")
    if metadata.get("uid"):
        return uid_conflict(kind, name, metadata["uid"], "")
    return status.not_found(kind.resource, kind.group, name)


def uid_conflict(kind: Kind, name: str, wanted: str, actual: str) -> ApiError:
    """409: another object of that name stands there by now."""
    return status.conflict(
        kind.resource,
        kind.group,
        name,
        f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}",
    )


def check_preconditions(kind: Kind, manifest: Manifest, uid: str | None, resource_version: str | None) -> None:
    """ApiError 409 when the object to be deleted is not the one that was meant."""
    metadata = manifest["metadata"]
    if uid is not None and uid != metadata["uid"]:
        words = (
            f"the UID in the precondition ({uid}) does not match the UID in record ({metadata['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise status.conflict(kind.kind, kind.group, metadata["name"], words)
    if resource_version is not None and resource_version != metadata["resourceVersion"]:
        words = (
            f"the ResourceVersion in the precondition ({resource_version}) does not match the ResourceVersion in "
            f"record ({metadata['resourceVersion']}). The object might have been modified"
        )
        raise status.conflict(kind.kind, kind.group, metadata["name"], words)


def begin_deletion(
    kind: Kind, old: Manifest, propagation: str | None, grace_period_s: int | None, now: datetime
) -> Manifest | None:
    """``old`` marked as being deleted, or None when nothing holds it and it may go at once.

    Raises ApiError 403 for a namespace that every cluster has.
    """
    if kind.kind == "Namespace" and old["metadata"]["name"] in _LASTING_NAMESPACES:
        name = old["metadata"]["name"]
        raise status.forbidden("namespaces", "", name, "this namespace may not be deleted")
    metadata = dict(old["metadata"])
    finalizers = _deletion_finalizers(kind, metadata.get("finalizers", []), propagation)
    grace = _grace_s(kind, old, grace_period_s)
    if not finalizers and grace == 0 and not _holds_namespace(old):
        return None
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    new = {**old, "metadata": metadata}
    already = metadata.get("deletionGracePeriodSeconds")
    if already is None or grace < already:
        metadata["deletionGracePeriodSeconds"] = grace
        metadata["deletionTimestamp"] = timestamp(now + timedelta(seconds=grace))
        if already is None and "generation" in metadata:
            metadata["generation"] += 1
    if kind.kind == "Namespace":
        new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
        # A namespace has no grace period; only when it was asked to go is noted.
        metadata.pop("deletionGracePeriodSeconds", None)
        metadata["deletionTimestamp"] = old["metadata"].get("deletionTimestamp", timestamp(now))
    return new


def _deletion_finalizers(kind: Kind, finalizers: list[str], propagation: str | None) -> list[str]:
    own = [finalizer for finalizer in finalizers if finalizer not in (FOREGROUND, ORPHAN)]
    if propagation is None:
        # Without a wish, a policy asked for earlier stands.
        if ORPHAN in finalizers or FOREGROUND in finalizers:
            return finalizers
        propagation = "Orphan" if kind.orphans_by_default else "Background"
    if propagation == "Orphan":
        return [*own, ORPHAN]
    if propagation == "Foreground":
        return [*own, FOREGROUND]
    return own


def _grace_s(kind: Kind, manifest: Manifest, asked: int | None) -> int:
    """Seconds that the object is given to end; 0 when there is nothing to wait for."""
    if not kind.graceful:
        return 0
    spec = manifest["spec"]
    if not spec.get("nodeName") or (manifest.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    if asked is None:
        asked = spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_S)
    return max(int(asked), 0)


def _holds_namespace(manifest: Manifest) -> bool:
    return manifest["kind"] == "Namespace" and bool((manifest.get("spec") or {}).get("finalizers"))


def deletion_complete(manifest: Manifest) -> bool:
    """Whether an object that is being deleted has nothing left that holds it."""
    metadata = manifest["metadata"]
    return (
        "deletionTimestamp" in metadata
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not _holds_namespace(manifest)
    )
