"""The ConfigMaps, Secrets and claims that a model names: applied before its first Job, owned by the run's Lease.

What is there and ours is brought up to date; what is not ours is never touched. Ours is what carries the label with the
name of this run's Lease, of one that shares a Job with it (the model was changed), or of one that is no more.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from lando.direct import lease_record as records
from lando.errors import Conflict, NotFound, PeerError, QuotaExceeded, Refused, Rejected, Unavailable
from lando.k8s.cluster import Cluster, Manifest
from lando.k8s.cluster_errors import PEER
from lando.local.rules.quantities import parse_quantity
from lando.masking import Masker
from lando.phases.model import Model, Resource

LABEL = records.LABEL
"""On a resource: the name of the Lease that it was applied under last."""
_TRIES = 5


def apply(resource: Resource, model: Model, cluster: Cluster, owner: Manifest | None) -> bool:
    """Make or change one of the model's resources, if need be; whether anything had to be written. Can be repeated.

    ``owner`` is :attr:`.Lease.owner`. Raises Refused where it can't be applied, and Unavailable.
    """
    kind, name = key_of(resource)
    place = f"{resource.path}: {kind} {name}"
    if owner is None:
        raise Refused(f"{place} would be owned by a Lease: give the account the right to Leases.")
    jobs = records.digests(job.name for job in model.jobs())
    wanted = _wanted(resource.manifest, owner)
    for _ in range(_TRIES):
        try:
            there = _found(cluster, kind, name)
            if there is None:
                cluster.create(wanted)
                return True
            if "deletionTimestamp" in there["metadata"]:
                raise Unavailable(PEER, f"{kind} {name} of an earlier run is still being deleted")
            if fault := obstacle(resource, there, owner["name"], jobs, cluster):
                raise Refused(f"{place} {fault}.")
            change = _change(wanted, there)
            if change:
                version = there["metadata"]["resourceVersion"]
                metadata = {**change.get("metadata", {}), "resourceVersion": version}
                cluster.patch(kind, name, {**change, "metadata": metadata})
            return bool(change)
        except (Conflict, NotFound):  # it was changed or deleted in between
            continue
        except (Rejected, QuotaExceeded) as error:
            raise Refused(f"{place}: {words_of(error, resource.manifest)}") from error
    raise Refused(f"{place} is changed all the time by somebody else: let that end first.")


def key_of(resource: Resource) -> tuple[str, str]:
    """Kind and name."""
    return str(resource.manifest["kind"]), str(resource.manifest["metadata"]["name"])


def words_of(error: PeerError, manifest: Mapping[str, Any]) -> str:
    """The cluster's own words, without what a Secret holds."""
    said = str(error).partition(f"{manifest['kind']} {manifest['metadata']['name']}: ")[2] or str(error)
    if manifest["kind"] != "Secret":
        return said
    data = _data(manifest)
    plain = [base64.b64decode(value).decode("utf-8", "replace") for value in data.values() if _is_base64(value)]
    return Masker([*map(str, data.values()), *plain]).mask(said)


def obstacle(resource: Resource, there: Manifest, name: str, jobs: frozenset[str], cluster: Cluster) -> str | None:
    """Why what is there can't become what the file says; ``name`` is that of our Lease. Raises as :meth:`.get`."""
    if not _is_ours(there, name, jobs, cluster):
        return (
            "is there already, and not this run's: take it out of `resources` (Jobs may use it all the same), "
            "or rename or delete it"
        )
    if faults := list(_unchangeable(resource.manifest, there)):
        return f"is there already, and can't be changed in {', '.join(faults)}: delete it, or leave it as it was"
    return None


def _found(cluster: Cluster, kind: str, name: str) -> Manifest | None:
    try:
        return cluster.get(kind, name)
    except NotFound:
        return None


def _is_ours(there: Manifest, name: str, jobs: frozenset[str], cluster: Cluster) -> bool:
    applied_under = (there["metadata"].get("labels") or {}).get(LABEL)
    if applied_under is None or applied_under == name:
        return applied_under == name
    lease = _found(cluster, "Lease", applied_under)
    return lease is None or bool(records.read(lease).jobs & jobs)


def _wanted(manifest: Mapping[str, Any], owner: Manifest) -> Manifest:
    metadata = manifest["metadata"]
    labels = {**(metadata.get("labels") or {}), LABEL: owner["name"]}
    wanted = {**manifest, "metadata": {**metadata, "labels": labels, "ownerReferences": [dict(owner)]}}
    if manifest["kind"] == "Secret":
        wanted["data"] = _data(manifest)
        wanted.pop("stringData", None)
    return wanted


def _change(wanted: Manifest, there: Manifest) -> Manifest:
    """The merge patch that makes of what is there what is wanted; empty when it is that."""
    change: Manifest = {}
    metadata: Manifest = {}
    for part in ("labels", "annotations"):
        old, new = there["metadata"].get(part) or {}, wanted["metadata"].get(part) or {}
        if more := {key: value for key, value in new.items() if old.get(key) != value}:
            metadata[part] = more
    owners = [one for one in there["metadata"].get("ownerReferences") or [] if one["kind"] != "Lease"] + wanted[
        "metadata"
    ]["ownerReferences"]
    if owners != there["metadata"].get("ownerReferences"):
        metadata["ownerReferences"] = owners
    if metadata:
        change["metadata"] = metadata
    if wanted["kind"] == "PersistentVolumeClaim":
        if _size(wanted) not in (None, _size(there)):
            change["spec"] = {
                "resources": {"requests": {"storage": wanted["spec"]["resources"]["requests"]["storage"]}}
            }
        return change
    for part in ("data", "binaryData"):
        old, new = there.get(part) or {}, wanted.get(part) or {}
        if old != new:
            change[part] = {**dict.fromkeys(old.keys() - new.keys()), **new}
    if wanted.get("immutable") and not there.get("immutable"):
        change["immutable"] = True
    return change


def _unchangeable(wanted: Mapping[str, Any], there: Manifest) -> Iterator[str]:
    """Fields in which the file differs from what is there, and that nobody may change."""
    if wanted["kind"] == "PersistentVolumeClaim":
        for key, value in (wanted.get("spec") or {}).items():
            if key != "resources" and value is not None and value != there["spec"].get(key):
                yield f"spec.{key}"
        if (size := _size(wanted)) is not None and size < (_size(there) or 0):
            yield "spec.resources.requests.storage (a volume can't shrink)"
        return
    if wanted["kind"] == "Secret" and (wanted.get("type") or "Opaque") != there.get("type"):
        yield "type"
    if there.get("immutable"):
        if not wanted.get("immutable"):
            yield "immutable"
        for part in ("data", "binaryData"):
            new = _data(wanted) if part == "data" and wanted["kind"] == "Secret" else wanted.get(part) or {}
            if new != (there.get(part) or {}):
                yield part


def _data(secret: Mapping[str, Any]) -> dict[str, Any]:
    """A Secret's data as it is kept: ``stringData`` is a way to write it."""
    plain = {
        key: base64.b64encode(str(text).encode()).decode() for key, text in (secret.get("stringData") or {}).items()
    }
    return {**(secret.get("data") or {}), **plain}


def _is_base64(value: object) -> bool:
    try:
        return bool(base64.b64decode(str(value), validate=True))
    except ValueError:
        return False


def _size(claim: Mapping[str, Any]) -> Any:
    size = (((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage")
    return None if size is None else parse_quantity(str(size))
