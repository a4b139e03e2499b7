"""What makes a pod's spec valid, in pods and in pod templates alike. Pure.

The rules of the fields that Lando and its users come near; the rest is taken as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lando.local.rules.metadata import check_name, label_fault, subdomain_fault, validate_labels
from lando.local.rules.quantities import parse_quantity
from lando.local.rules.status import (
    FieldError,
    Manifest,
    duplicate,
    field_not_found,
    forbidden_field,
    invalid_value,
    required,
    unsupported,
)

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_ENV_NAME = re.compile(r"[ -<>-~]+")
_ENV_NAME_WORDS = "a valid environment variable name must consist only of printable ASCII characters other than '='"
_NON_NEGATIVE = "must be greater than or equal to 0"


def validate_pod_spec(spec: Manifest, path: str) -> list[FieldError]:
    """Everything wrong with ``spec``, which stands at the field ``path``."""
    errors: list[FieldError] = []
    volumes = spec.get("volumes") or []
    errors += _validate_volumes(volumes, f"{path}.volumes")
    known = {volume.get("name") for volume in volumes}
    if not spec.get("containers"):
        errors.append(required(f"{path}.containers"))
    seen: set[str] = set()
    for part in ("initContainers", "containers"):
        for at, container in enumerate(spec.get(part) or []):
            errors += _validate_container(container, f"{path}.{part}[{at}]", known, seen)
    if spec["restartPolicy"] not in RESTART_POLICIES:
        errors.append(unsupported(f"{path}.restartPolicy", spec["restartPolicy"], RESTART_POLICIES))
    if spec["terminationGracePeriodSeconds"] < 0:
        errors.append(
            invalid_value(f"{path}.terminationGracePeriodSeconds", spec["terminationGracePeriodSeconds"], _NON_NEGATIVE)
        )
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        errors.append(
            invalid_value(f"{path}.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
        )
    for part in ("serviceAccountName", "nodeName", "priorityClassName"):
        if spec.get(part) and (fault := subdomain_fault(spec[part])):
            errors.append(invalid_value(f"{path}.{part}", spec[part], fault))
    if spec.get("hostname") and (fault := label_fault(spec["hostname"])):
        errors.append(invalid_value(f"{path}.hostname", spec["hostname"], fault))
    errors += validate_labels(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    return errors


def _validate_volumes(volumes: Sequence[Manifest], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for at, volume in enumerate(volumes):
        field, name = f"{path}[{at}]", volume.get("name", "")
        sources = [part for part in volume if part != "name"]
        errors += [
            forbidden_field(f"{field}.{extra}", "may not specify more than 1 volume type") for extra in sources[1:]
        ]
        for source in sources[:1]:
            errors += _validate_source(source, volume[source], f"{field}.{source}")
        errors += check_name(name, f"{field}.name")
        if name in seen:
            errors.append(duplicate(f"{field}.name", name))
        seen.add(name)
    return errors


_NEEDED = {"persistentVolumeClaim": "claimName", "configMap": "name", "secret": "secretName", "hostPath": "path"}


def _validate_source(source: str, body: Manifest, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    needed = _NEEDED.get(source)
    if needed and not body.get(needed):
        errors.append(required(f"{path}.{needed}"))
    for at, item in enumerate(body.get("items") or []):
        field = f"{path}.items[{at}]"
        if source in ("configMap", "secret") and not item.get("key"):
            errors.append(required(f"{field}.key"))
        errors += _validate_relative(item.get("path") or "", f"{field}.path", needed=True)
    mode = body.get("defaultMode")
    if mode is not None and not 0 <= mode <= 0o777:
        errors.append(
            invalid_value(f"{path}.defaultMode", mode, "must be a number between 0 and 0777 (octal), both inclusive")
        )
    return errors


def _validate_relative(path: str, field: str, *, needed: bool) -> list[FieldError]:
    if not path:
        return [required(field)] if needed else []
    if path.startswith("/"):
        return [invalid_value(field, path, "must be a relative path")]
    if ".." in path.split("/"):
        return [invalid_value(field, path, "must not contain '..'")]
    return []


def _validate_container(container: Manifest, path: str, volumes: set[str | None], seen: set[str]) -> list[FieldError]:
    name = container.get("name", "")
    errors = check_name(name, f"{path}.name")
    if name and name in seen:
        errors.append(duplicate(f"{path}.name", name))
    seen.add(name)
    if not container.get("image"):
        errors.append(required(f"{path}.image"))
    elif container["image"] != container["image"].strip():
        errors.append(
            invalid_value(f"{path}.image", container["image"], "must not have leading or trailing whitespace")
        )
    for field, choices in (
        ("imagePullPolicy", ("Always", "IfNotPresent", "Never")),
        ("terminationMessagePolicy", ("FallbackToLogsOnError", "File")),
    ):
        if container[field] not in choices:
            errors.append(unsupported(f"{path}.{field}", container[field], choices))
    for at, port in enumerate(container.get("ports") or []):
        if not 1 <= port.get("containerPort", 0) <= 65535:
            errors.append(
                invalid_value(
                    f"{path}.ports[{at}].containerPort",
                    port.get("containerPort", 0),
                    "must be between 1 and 65535, inclusive",
                )
            )
    errors += _validate_env(container.get("env") or [], f"{path}.env")
    errors += _validate_mounts(container.get("volumeMounts") or [], f"{path}.volumeMounts", volumes)
    errors += _validate_resources(container["resources"], f"{path}.resources")
    return errors


_VALUE_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")


def _validate_env(variables: Sequence[Manifest], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for at, variable in enumerate(variables):
        field, name = f"{path}[{at}]", variable.get("name", "")
        if not name:
            errors.append(required(f"{field}.name"))
        elif not _ENV_NAME.fullmatch(name):
            errors.append(invalid_value(f"{field}.name", name, _ENV_NAME_WORDS))
        source = variable.get("valueFrom")
        if source is None:
            continue
        given = [part for part in _VALUE_SOURCES if part in source]
        if not given:
            words = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
            errors.append(invalid_value(f"{field}.valueFrom", "", words))
        elif len(given) > 1:
            errors.append(
                invalid_value(f"{field}.valueFrom", "", "may not have more than one field specified at a time")
            )
        elif variable.get("value"):
            errors.append(invalid_value(f"{field}.valueFrom", "", "may not be specified when `value` is not empty"))
        for part in ("configMapKeyRef", "secretKeyRef"):
            if part in source and not source[part].get("key"):
                errors.append(required(f"{field}.valueFrom.{part}.key"))
    return errors


def _validate_mounts(mounts: Sequence[Manifest], path: str, volumes: set[str | None]) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[str] = set()
    for at, mount in enumerate(mounts):
        field, name, where = f"{path}[{at}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            errors.append(required(f"{field}.name"))
        elif name not in volumes:
            errors.append(field_not_found(f"{field}.name", name))
        if not where:
            errors.append(required(f"{field}.mountPath"))
        elif where in seen:
            errors.append(invalid_value(f"{field}.mountPath", where, "must be unique"))
        seen.add(where)
        errors += _validate_relative(mount.get("subPath") or "", f"{field}.subPath", needed=False)
    return errors


def _validate_resources(resources: Manifest, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for part, quantities in (("limits", limits), ("requests", requests)):
        for name, quantity in quantities.items():
            if parse_quantity(quantity) < 0:
                errors.append(invalid_value(f"{path}.{part}[{name}]", quantity, _NON_NEGATIVE))
    for name, quantity in requests.items():
        if name in limits and parse_quantity(quantity) > parse_quantity(limits[name]):
            words = f"must be less than or equal to {name} limit of {limits[name]}"
            errors.append(invalid_value(f"{path}.requests", quantity, words))
    return errors
