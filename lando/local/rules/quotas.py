"""The rules of ResourceQuotas: what objects use, and whether there is room for more. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from lando.local.rules.metadata import immutable, qualified_name_fault
from lando.local.rules.pod_spec import containers_of
from lando.local.rules.quantities import format_quantity, parse_quantity
from lando.local.rules.selectors import match_labels
from lando.local.rules.status import FieldError, Manifest, invalid_value, qualified, unsupported

Usage = dict[str, Decimal]
"""Amounts by the name under which a quota limits them."""

COUNTED_BY_NAME = frozenset({"configmaps", "persistentvolumeclaims", "pods", "resourcequotas", "secrets"})
"""Resources whose number has a name of its own besides ``count/…``."""
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_STANDARD = (
    COUNTED_BY_NAME
    | set(_COMPUTE)
    | {f"{part}.{name}" for part in ("requests", "limits") for name in _COMPUTE}
    | {"requests.storage", "services", "services.loadbalancers", "services.nodeports", "replicationcontrollers"}
)
SCOPES = ("BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating")
_STORAGE_CLASS = ".storageclass.storage.k8s.io/"


def is_binary(name: str) -> bool:
    """Whether amounts of this resource are written in powers of two."""
    return name.endswith(("memory", "storage"))


def written(usage: Usage, names: Iterable[str]) -> dict[str, str]:
    """The amounts of ``names`` as quantities, in order."""
    return {name: format_quantity(usage.get(name, Decimal(0)), binary=is_binary(name)) for name in sorted(names)}


def validate(manifest: Manifest) -> list[FieldError]:
    """Names that can be limited, amounts that can be reached, scopes that there are."""
    spec = manifest.get("spec") or {}
    errors: list[FieldError] = []
    for name, value in (spec.get("hard") or {}).items():
        field, amount = f"spec.hard[{name}]", parse_quantity(value)
        if amount < 0:
            errors.append(invalid_value(field, value, "must be greater than or equal to 0"))
        if (name in COUNTED_BY_NAME or name.startswith("count/")) and amount != amount.to_integral_value():
            errors.append(invalid_value(field, value, "must be an integer"))
        if fault := qualified_name_fault(name):
            errors.append(invalid_value(field, name, fault))
        elif "/" not in name and name not in _STANDARD:
            errors.append(invalid_value(field, name, "must be a standard resource type or fully qualified"))
            errors.append(invalid_value(field, name, "must be a standard resource for quota"))
    errors += [unsupported("spec.scopes", scope, SCOPES) for scope in spec.get("scopes") or [] if scope not in SCOPES]
    return errors


def validate_update(new: Manifest, old: Manifest) -> list[FieldError]:
    """What a quota is about stays; only its amounts change."""
    return immutable("spec.scopes", (new.get("spec") or {}).get("scopes"), (old.get("spec") or {}).get("scopes"))


def usage_of(resource: str, group: str, manifest: Manifest) -> Usage:
    """What one object counts for. A pod that has ended counts as an object only."""
    used: Usage = {f"count/{qualified(resource, group)}": Decimal(1)}
    if resource == "pods":
        if (manifest.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            used |= {"pods": Decimal(1), **_pod_usage(manifest["spec"])}
    elif resource in COUNTED_BY_NAME:
        used[resource] = Decimal(1)
    if resource == "persistentvolumeclaims":
        used |= _claim_usage(manifest["spec"])
    return used


def _pod_usage(spec: Manifest) -> Usage:
    used: Usage = {}
    for part in ("requests", "limits"):
        used |= {f"{part}.{name}": amount for name, amount in pod_total(spec, part).items()}
    used |= {name: used[f"requests.{name}"] for name in _COMPUTE if f"requests.{name}" in used}
    return used


def pod_total(spec: Manifest, part: str) -> Usage:
    """A pod's ``requests`` or ``limits``: of its containers together, or of the init container that has more."""
    total: Usage = {}
    for container in spec.get("containers") or []:
        for name, value in ((container.get("resources") or {}).get(part) or {}).items():
            total[name] = total.get(name, Decimal(0)) + parse_quantity(value)
    for container in spec.get("initContainers") or []:
        for name, value in ((container.get("resources") or {}).get(part) or {}).items():
            total[name] = max(total.get(name, Decimal(0)), parse_quantity(value))
    return total


def _claim_usage(spec: Manifest) -> Usage:
    size = parse_quantity(((spec.get("resources") or {}).get("requests") or {}).get("storage", "0"))
    used = {"requests.storage": size}
    if storage_class := spec.get("storageClassName"):
        used[f"{storage_class}{_STORAGE_CLASS}requests.storage"] = size
        used[f"{storage_class}{_STORAGE_CLASS}persistentvolumeclaims"] = Decimal(1)
    return used


def concerns(quota: Manifest, resource: str, manifest: Manifest) -> bool:
    """Whether the object is within the quota's scopes; a quota with scopes is about pods only."""
    spec = quota.get("spec") or {}
    wanted = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or []]
    wanted += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return not wanted or (resource == "pods" and all(_in_scope(each, manifest) for each in wanted))


def _in_scope(expression: Manifest, pod: Manifest) -> bool:
    spec, scope = pod["spec"], expression["scopeName"]
    best_effort = (pod.get("status") or {}).get("qosClass") == "BestEffort"
    match scope:
        case "Terminating" | "NotTerminating":
            return ("activeDeadlineSeconds" in spec) is (scope == "Terminating")
        case "BestEffort" | "NotBestEffort":
            return best_effort is (scope == "BestEffort")
        case "PriorityClass":
            name = spec.get("priorityClassName")
            return match_labels({"matchExpressions": [{**expression, "key": scope}]}, {scope: name} if name else {})
    return False


def missing_from(pod: Manifest, limited: Iterable[str]) -> str:
    """Which limited amounts which containers do not state, in words; "" when none is missing."""
    wanted = {name if "." in name else f"requests.{name}": name for name in limited}
    words = []
    for full, name in sorted(wanted.items(), key=lambda entry: entry[1]):
        part, _, plain = full.partition(".")
        if part not in ("requests", "limits") or plain not in ("cpu", "memory"):
            continue
        lacking = [
            container["name"]
            for container in containers_of(pod["spec"])
            if plain not in ((container.get("resources") or {}).get(part) or {})
        ]
        if lacking:
            words.append(f"{name} for: {','.join(sorted(lacking))}")
    return "; ".join(words)


def limits_of(quota: Manifest) -> Mapping[str, Any]:
    """What is enforced: the amounts that the controller has taken note of."""
    return (quota.get("status") or {}).get("hard") or {}


def exceeded(quota: Manifest, wanted: Usage) -> str:
    """Why there is no room for ``wanted``, in the API server's words; "" when there is."""
    hard = {name: parse_quantity(value) for name, value in limits_of(quota).items()}
    used = {name: parse_quantity(value) for name, value in ((quota.get("status") or {}).get("used") or {}).items()}
    over = [
        name
        for name, amount in sorted(wanted.items())
        if name in hard and amount > 0 and used.get(name, Decimal(0)) + amount > hard[name]
    ]
    if not over:
        return ""
    parts = {"requested": wanted, "used": used, "limited": hard}
    listed = (
        f"{word}: " + ",".join(f"{name}={value}" for name, value in written(amounts, over).items())
        for word, amounts in parts.items()
    )
    return f"exceeded quota: {quota['metadata']['name']}, {', '.join(listed)}"


def with_more(quota: Manifest, more: Usage) -> Manifest:
    """The quota's status once ``more`` is there besides what is used already."""
    status = quota["status"]
    used = dict(status.get("used") or {})
    known = {name: parse_quantity(used.get(name, "0")) + amount for name, amount in more.items()}
    return {**status, "used": used | written(known, known)}


def with_usage(quota: Manifest, used: Usage) -> Manifest:
    """The quota's status once ``used`` is what is there."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    return {"hard": dict(hard), "used": written(used, hard)}


def total(quota: Manifest, objects: Iterable[tuple[str, str, Manifest]]) -> Usage:
    """What ``objects`` (resource, group, manifest) use of the quota together."""
    hard = (quota.get("spec") or {}).get("hard") or {}
    used: Usage = {}
    for resource, group, manifest in objects:
        if not concerns(quota, resource, manifest):
            continue
        for name, amount in usage_of(resource, group, manifest).items():
            if name in hard:
                used[name] = used.get(name, Decimal(0)) + amount
    return used
