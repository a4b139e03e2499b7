"""The rules of Pods. Pure."""

from __future__ import annotations

import copy

from lando.local.rules.pod_rules import validate_pod_spec
from lando.local.rules.pod_spec import containers_of, default_pod_spec
from lando.local.rules.quantities import parse_quantity
from lando.local.rules.status import FieldError, Manifest, forbidden_field

_LOST_NODE_TOLERANCE_S = 300
_UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, "
    "`spec.activeDeadlineSeconds` or `spec.tolerations` (only additions to existing tolerations)"
)


def default(manifest: Manifest) -> None:
    """A pod's defaults: those of a template, and requests where only limits are given."""
    spec = manifest.setdefault("spec", {})
    default_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in containers_of(spec):
        limits = container["resources"].get("limits") or {}
        if limits:
            container["resources"]["requests"] = {**limits, **(container["resources"].get("requests") or {})}


def initialise(manifest: Manifest) -> None:
    """What a new pod gets from the API server's admission, and its first status."""
    spec = manifest["spec"]
    spec["serviceAccountName"] = spec["serviceAccount"] = spec.get("serviceAccountName") or "default"
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)
    tolerations = spec.setdefault("tolerations", [])
    for trouble in ("not-ready", "unreachable"):
        key = f"node.kubernetes.io/{trouble}"
        if not any(toleration.get("key") == key for toleration in tolerations):
            tolerations.append(
                {
                    "key": key,
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": _LOST_NODE_TOLERANCE_S,
                }
            )
    manifest["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}


def qos_class(spec: Manifest) -> str:
    """``Guaranteed``, ``Burstable`` or ``BestEffort``, from the containers' requests and limits."""
    guaranteed, any_given = True, False
    for container in containers_of(spec):
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        any_given = any_given or bool(limits.keys() & {"cpu", "memory"}) or bool(requests.keys() & {"cpu", "memory"})
        for name in ("cpu", "memory"):
            limit = limits.get(name)
            if limit is None or parse_quantity(requests.get(name, limit)) != parse_quantity(limit):
                guaranteed = False
    if not any_given:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def validate(manifest: Manifest) -> list[FieldError]:
    return validate_pod_spec(manifest["spec"], "spec")


def validate_update(new: Manifest, old: Manifest) -> list[FieldError]:
    """All but images, deadline and added tolerations stays as it is."""
    return (
        []
        if _fixed_part(new["spec"], old["spec"]) == _fixed_part(old["spec"], old["spec"])
        else [forbidden_field("spec", _UPDATABLE)]
    )


def _fixed_part(spec: Manifest, old: Manifest) -> Manifest:
    fixed = copy.deepcopy(spec)
    fixed.pop("activeDeadlineSeconds", None)
    for container in containers_of(fixed):
        container.pop("image", None)
    kept = old.get("tolerations") or []
    if all(toleration in (spec.get("tolerations") or []) for toleration in kept):
        fixed["tolerations"] = kept
    return fixed
