"""The rules of the kinds that carry data or words: ConfigMap, Secret, Event, Namespace. Pure."""

from __future__ import annotations

import base64
import re

from lando.local.rules.status import FieldError, Manifest, forbidden_field, invalid_value, required, too_long

MAX_DATA_BYTES = 1024 * 1024
"""What a ConfigMap or a Secret may hold."""
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
_KEY_WORDS = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_IMMUTABLE = "field is immutable when `immutable` is set"


def _key_fault(key: str) -> str | None:
    if len(key) > 253:
        return "must be no more than 253 characters"
    if key in (".", ".."):
        return f"must not be '{key}'"
    return None if _KEY.fullmatch(key) else _KEY_WORDS


def _decoded_size(value: str) -> int:
    """Bytes that base64 ``value`` stands for."""
    return len(base64.b64decode(value))


def validate_config_map(manifest: Manifest) -> list[FieldError]:
    """Keys, disjointness of data and binaryData, and the limit of 1 MiB."""
    errors, total = [], 0
    data, binary = manifest.get("data") or {}, manifest.get("binaryData") or {}
    for key, value in data.items():
        if fault := _key_fault(key):
            errors.append(invalid_value(f"data[{key}]", key, fault))
        if key in binary:
            errors.append(invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData"))
        total += len(value.encode())
    for key, value in binary.items():
        if fault := _key_fault(key):
            errors.append(invalid_value(f"binaryData[{key}]", key, fault))
        total += _decoded_size(value)
    if total > MAX_DATA_BYTES:
        errors.append(too_long("[]", MAX_DATA_BYTES))
    return errors


def validate_immutable_data(new: Manifest, old: Manifest) -> list[FieldError]:
    """What ``immutable: true`` forbids."""
    if not old.get("immutable"):
        return []
    errors = []
    if not new.get("immutable"):
        errors.append(forbidden_field("immutable", _IMMUTABLE))
    for part in ("data", "binaryData"):
        if (new.get(part) or {}) != (old.get(part) or {}):
            errors.append(forbidden_field(part, _IMMUTABLE))
    return errors


def default_secret(manifest: Manifest) -> None:
    """Fold the write-only ``stringData`` into ``data``."""
    manifest.setdefault("type", "Opaque")
    plain = manifest.pop("stringData", None)
    if plain:
        data = manifest.setdefault("data", {})
        data.update({key: base64.b64encode(value.encode()).decode() for key, value in plain.items()})


def validate_secret(manifest: Manifest) -> list[FieldError]:
    """Keys and the limit of 1 MiB; never shows a value."""
    errors, total = [], 0
    for key, value in (manifest.get("data") or {}).items():
        if fault := _key_fault(key):
            errors.append(invalid_value(f"data[{key}]", key, fault))
        total += _decoded_size(value)
    if total > MAX_DATA_BYTES:
        errors.append(too_long("data", MAX_DATA_BYTES))
    return errors


def validate_secret_update(new: Manifest, old: Manifest) -> list[FieldError]:
    errors = validate_immutable_data(new, old)
    if new.get("type") != old.get("type"):
        errors.append(invalid_value("type", new.get("type"), "field is immutable"))
    return errors


def default_namespace(manifest: Manifest) -> None:
    metadata = manifest["metadata"]
    metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]


def keep_namespace_finalizers(new: Manifest, old: Manifest) -> None:
    """``spec.finalizers`` changes through the finalize subresource only."""
    new["spec"] = dict(old["spec"])


def initialise_namespace(manifest: Manifest) -> None:
    """The first status, and the finalizer that holds the namespace until its contents are gone."""
    manifest.setdefault("spec", {})["finalizers"] = ["kubernetes"]
    manifest["status"] = {"phase": "Active"}


def default_event(manifest: Manifest) -> None:
    for part, value in (("involvedObject", {}), ("source", {}), ("reportingComponent", ""), ("reportingInstance", "")):
        manifest.setdefault(part, value)


def validate_event(manifest: Manifest) -> list[FieldError]:
    """An event lies in the namespace of the object it is about."""
    about = manifest["involvedObject"]
    if not about:
        return [required("involvedObject")]
    if (about.get("namespace") or "default") != manifest["metadata"]["namespace"]:
        return [invalid_value("involvedObject.namespace", about.get("namespace", ""), "does not match event.namespace")]
    return []
