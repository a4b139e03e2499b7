"""The rules of PersistentVolumeClaims. Pure."""

from __future__ import annotations

from lando.local.rules.metadata import subdomain_fault
from lando.local.rules.quantities import parse_quantity
from lando.local.rules.status import FieldError, Manifest, forbidden_field, invalid_value, required, unsupported

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
PROTECTION = "kubernetes.io/pvc-protection"
"""Holds a claim that is being deleted until no pod uses it any more."""
_UPDATABLE = "spec is immutable after creation except resources.requests for bound claims"


def default(manifest: Manifest) -> None:
    manifest.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def initialise(manifest: Manifest) -> None:
    """The first status, and what the API server's storage-object-in-use admission adds."""
    manifest["status"] = {"phase": "Pending"}
    finalizers = manifest["metadata"].setdefault("finalizers", [])
    if PROTECTION not in finalizers:
        finalizers.append(PROTECTION)


def validate(manifest: Manifest) -> list[FieldError]:
    """Access modes and the requested size."""
    spec, errors = manifest["spec"], []
    modes = spec.get("accessModes") or []
    if not modes:
        errors.append(required("spec.accessModes", "at least 1 access mode is required"))
    errors += [unsupported("spec.accessModes", mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    requests = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        errors.append(required("spec.resources[storage]"))
    elif parse_quantity(requests["storage"]) <= 0:
        errors.append(invalid_value("spec.resources[storage]", requests["storage"], "must be greater than zero"))
    storage_class = spec.get("storageClassName")
    if storage_class and (fault := subdomain_fault(storage_class)):
        errors.append(invalid_value("spec.storageClassName", storage_class, fault))
    if spec["volumeMode"] not in ("Block", "Filesystem"):
        errors.append(unsupported("spec.volumeMode", spec["volumeMode"], ("Block", "Filesystem")))
    return errors


def validate_update(new: Manifest, old: Manifest) -> list[FieldError]:
    """Only the size may change, and the volume's name may be filled in once."""
    spec, old_spec = dict(new["spec"]), dict(old["spec"])
    for part in ("resources",) + (() if old_spec.get("volumeName") else ("volumeName",)):
        spec.pop(part, None)
        old_spec.pop(part, None)
    return [] if spec == old_spec else [forbidden_field("spec", _UPDATABLE)]
