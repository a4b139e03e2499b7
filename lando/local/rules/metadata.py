"""What holds for objects of every kind: names, labels, annotations, owner references. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lando.local.rules.status import FieldError, Manifest, forbidden_field, invalid_value, required, too_long

MAX_LABEL = 63
MAX_SUBDOMAIN = 253
MAX_ANNOTATIONS_BYTES = 256 * 1024

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")

_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_VALUE_WORDS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_QUALIFIED_WORDS = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def no_defaults(_manifest: Manifest) -> None:
    """For kinds with nothing to fill in."""


def keep_nothing(_new: Manifest, _old: Manifest) -> None:
    """For kinds whose every field an update may set."""


def no_rules(_manifest: Manifest) -> list[FieldError]:
    """For kinds with no rules but the general ones."""
    return []


def no_update_rules(_new: Manifest, _old: Manifest) -> list[FieldError]:
    """For kinds that may change freely."""
    return []


def label_fault(name: str) -> str | None:
    """Why ``name`` is no DNS-1123 label; None when it is one."""
    if len(name) > MAX_LABEL:
        return f"must be no more than {MAX_LABEL} characters"
    return None if _LABEL.fullmatch(name) else _LABEL_WORDS


def subdomain_fault(name: str) -> str | None:
    """Why ``name`` is no DNS-1123 subdomain; None when it is one."""
    if len(name) > MAX_SUBDOMAIN:
        return f"must be no more than {MAX_SUBDOMAIN} characters"
    return None if _SUBDOMAIN.fullmatch(name) else _SUBDOMAIN_WORDS


def qualified_name_fault(name: str) -> str | None:
    """Why ``name`` can't be a label's or annotation's key; None when it can."""
    prefix, slash, local = name.rpartition("/")
    if slash:
        if not prefix:
            return "prefix part must be non-empty"
        if fault := subdomain_fault(prefix):
            return f"prefix part {fault}"
    if not local:
        return "name part must be non-empty"
    if len(local) > MAX_LABEL:
        return f"name part must be no more than {MAX_LABEL} characters"
    return None if _QUALIFIED.fullmatch(local) else _QUALIFIED_WORDS


def label_value_fault(value: str) -> str | None:
    """Why ``value`` can't be a label's value; None when it can."""
    if len(value) > MAX_LABEL:
        return f"must be no more than {MAX_LABEL} characters"
    return None if not value or _QUALIFIED.fullmatch(value) else _LABEL_VALUE_WORDS


def validate_labels(labels: Mapping[str, Any], field: str) -> list[FieldError]:
    errors = []
    for key, value in labels.items():
        if fault := qualified_name_fault(key):
            errors.append(invalid_value(field, key, fault))
        if fault := label_value_fault(value):
            errors.append(invalid_value(field, value, fault))
    return errors


def validate_metadata(metadata: Manifest, name_fault: str | None) -> list[FieldError]:
    """The rules that every object's metadata follows."""
    errors = []
    if name_fault is not None:
        errors.append(invalid_value("metadata.name", metadata["name"], name_fault))
    errors += validate_labels(metadata.get("labels") or {}, "metadata.labels")
    errors += _validate_annotations(metadata.get("annotations") or {})
    errors += _validate_owners(metadata.get("ownerReferences") or [])
    for finalizer in metadata.get("finalizers") or []:
        if fault := qualified_name_fault(finalizer):
            errors.append(invalid_value("metadata.finalizers", finalizer, fault))
    return errors


def generate_name_errors(metadata: Manifest, name_fault: Callable[[str], str | None]) -> list[FieldError]:
    """The rules of ``generateName``: what a name may be, but a dash at its end does no harm."""
    prefix = metadata.get("generateName")
    if not prefix:
        return []
    fault = name_fault(prefix[:-1] + "a" if prefix.endswith("-") else prefix)
    return [invalid_value("metadata.generateName", prefix, fault)] if fault else []


def _validate_annotations(annotations: Mapping[str, str]) -> list[FieldError]:
    errors = []
    for key in annotations:
        if fault := qualified_name_fault(key.lower()):
            errors.append(invalid_value("metadata.annotations", key, fault))
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > MAX_ANNOTATIONS_BYTES:
        errors.append(too_long("metadata.annotations", MAX_ANNOTATIONS_BYTES))
    return errors


def _validate_owners(owners: list[Manifest]) -> list[FieldError]:
    errors = []
    for at, owner in enumerate(owners):
        field = f"metadata.ownerReferences[{at}]"
        for part in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(part):
                errors.append(invalid_value(f"{field}.{part}", owner.get(part) or "", f"{part} must not be empty"))
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        errors.append(
            invalid_value(
                "metadata.ownerReferences",
                [owner.get("name") for owner in controllers],
                "Only one reference can have Controller set to true",
            )
        )
    return errors


def immutable(field: str, new: Any, old: Any) -> list[FieldError]:
    """An error when ``new`` differs from ``old``."""
    return [] if new == old else [invalid_value(field, new, "field is immutable")]


def check_name(value: Any, field: str) -> list[FieldError]:
    """The rules of a name in a list (container, volume): a DNS-1123 label, given."""
    if not value:
        return [required(field)]
    fault = label_fault(str(value))
    return [invalid_value(field, value, fault)] if fault else []


def no_new_finalizers(new: list[str], old: list[str]) -> list[FieldError]:
    """While an object is being deleted, its finalizers can only become fewer."""
    added = sorted(set(new) - set(old))
    if not added:
        return []
    return [
        forbidden_field(
            "metadata.finalizers",
            f"no new finalizers can be added if the object is being deleted, found new finalizers {added}",
        )
    ]
