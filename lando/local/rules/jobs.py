"""The rules of Jobs. Pure."""

from __future__ import annotations

from lando.local.rules.metadata import immutable, label_value_fault, validate_labels
from lando.local.rules.pod_rules import validate_pod_spec
from lando.local.rules.pod_spec import default_pod_spec
from lando.local.rules.selectors import match_labels
from lando.local.rules.status import FieldError, Manifest, invalid_value, required, unsupported

CONTROLLER_UID = "batch.kubernetes.io/controller-uid"
JOB_NAME = "batch.kubernetes.io/job-name"
LEGACY_CONTROLLER_UID = "controller-uid"
LEGACY_JOB_NAME = "job-name"
"""The labels without a prefix are what older clients select pods by; both are set."""
_COUNTS = ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished")
_FAILURE_ACTIONS = ("Count", "FailJob", "Ignore")
"""Of a pod failure policy; ``FailIndex`` needs ``backoffLimitPerIndex``, which is not acted upon here."""
_FINISHING_POLICIES = ("OnFailure", "Never")


def default(manifest: Manifest) -> None:
    """A Job's defaults and those of its template."""
    spec = manifest.setdefault("spec", {})
    if "parallelism" not in spec and "completions" not in spec:
        spec["completions"] = 1
    for field, value in (
        ("parallelism", 1),
        ("backoffLimit", 6),
        ("completionMode", "NonIndexed"),
        ("suspend", False),
        ("manualSelector", False),
        ("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"),
    ):
        spec.setdefault(field, value)
    default_pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))
    _default_labels(manifest)


def _default_labels(manifest: Manifest) -> None:
    """A Job without labels of its own has those of its pods."""
    labels = (manifest["spec"]["template"].get("metadata") or {}).get("labels")
    if labels and not manifest["metadata"].get("labels"):
        manifest["metadata"]["labels"] = dict(labels)


def initialise(manifest: Manifest) -> None:
    """Give a new Job the selector and labels that tie its pods to it and to no other."""
    spec, metadata = manifest["spec"], manifest["metadata"]
    if spec["manualSelector"]:
        return
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    labels.setdefault(LEGACY_CONTROLLER_UID, metadata["uid"])
    labels.setdefault(LEGACY_JOB_NAME, metadata["name"])
    labels.setdefault(CONTROLLER_UID, metadata["uid"])
    labels.setdefault(JOB_NAME, metadata["name"])
    chosen = spec.setdefault("selector", {}).setdefault("matchLabels", {})
    if not {LEGACY_CONTROLLER_UID, CONTROLLER_UID} & chosen.keys():
        chosen[CONTROLLER_UID] = metadata["uid"]
    if label_value_fault(metadata["name"]) is None:
        _default_labels(manifest)


def validate(manifest: Manifest) -> list[FieldError]:
    spec, metadata = manifest["spec"], manifest["metadata"]
    errors: list[FieldError] = []
    if "selector" not in spec:
        errors.append(required("spec.selector"))
    elif not spec["manualSelector"]:
        errors += _validate_generated(spec, metadata["uid"])
    for field in _COUNTS:
        if field in spec and spec[field] < 0:
            errors.append(invalid_value(f"spec.{field}", spec[field], "must be greater than or equal to 0"))
    if spec["completionMode"] not in ("NonIndexed", "Indexed"):
        errors.append(unsupported("spec.completionMode", spec["completionMode"], ("NonIndexed", "Indexed")))
    if spec["completionMode"] == "Indexed" and "completions" not in spec:
        errors.append(required("spec.completions", "when completion mode is Indexed"))
    template = spec["template"]
    labels = (template.get("metadata") or {}).get("labels") or {}
    if "selector" in spec and not match_labels(spec["selector"], labels):
        errors.append(
            invalid_value("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
        )
    errors += validate_labels(labels, "spec.template.labels")
    errors += validate_pod_spec(template["spec"], "spec.template.spec")
    errors += _validate_restart_policy(spec)
    for at, rule in enumerate((spec.get("podFailurePolicy") or {}).get("rules") or []):
        errors += _validate_rule(rule, f"spec.podFailurePolicy.rules[{at}]", template["spec"])
    return errors


def _validate_generated(spec: Manifest, uid: str) -> list[FieldError]:
    """A selector of the creator's own would make Jobs fight for pods; it takes ``manualSelector`` to want that."""
    chosen = spec["selector"].get("matchLabels") or {}
    if set(chosen.values()) == {uid} and chosen.keys() <= {CONTROLLER_UID, LEGACY_CONTROLLER_UID}:
        return []
    return [invalid_value("spec.selector", spec["selector"], "`selector` not auto-generated")]


def _validate_restart_policy(spec: Manifest) -> list[FieldError]:
    policy, field = spec["template"]["spec"]["restartPolicy"], "spec.template.spec.restartPolicy"
    if policy == "Always":
        return [required(field, 'valid values: "OnFailure", "Never"')]
    if policy == "OnFailure" and "podFailurePolicy" in spec:
        return [invalid_value(field, policy, 'only "Never" is supported when podFailurePolicy is specified')]
    if policy not in _FINISHING_POLICIES:
        return [unsupported(field, policy, _FINISHING_POLICIES)]
    return []


def _validate_rule(rule: Manifest, field: str, pod: Manifest) -> list[FieldError]:
    """One rule of a pod failure policy."""
    errors: list[FieldError] = []
    if rule.get("action") not in _FAILURE_ACTIONS:
        errors.append(unsupported(f"{field}.action", rule.get("action", ""), _FAILURE_ACTIONS))
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
    if bool(codes) is bool(conditions):
        words = "specifying one of OnExitCodes and OnPodConditions is required"
        errors.append(invalid_value(field, rule, words))
    if codes:
        errors += _validate_exit_codes(codes, f"{field}.onExitCodes", pod)
    for at, condition in enumerate(conditions or []):
        if condition.get("status", "True") not in ("False", "True", "Unknown"):
            errors.append(
                unsupported(f"{field}.onPodConditions[{at}].status", condition["status"], ("False", "True", "Unknown"))
            )
    return errors


def _validate_exit_codes(codes: Manifest, field: str, pod: Manifest) -> list[FieldError]:
    errors: list[FieldError] = []
    operator, values, container = codes.get("operator", ""), codes.get("values") or [], codes.get("containerName")
    if operator not in ("In", "NotIn"):
        errors.append(unsupported(f"{field}.operator", operator, ("In", "NotIn")))
    names = {each["name"] for part in ("containers", "initContainers") for each in pod.get(part) or []}
    if container is not None and container not in names:
        words = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid_value(f"{field}.containerName", container, words))
    if not values:
        errors.append(invalid_value(f"{field}.values", values, "at least one value is required"))
    for at, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.append(invalid_value(f"{field}.values[{at}]", 0, "must not be 0 for the In operator"))
    if list(values) != sorted(set(values)):
        errors.append(invalid_value(f"{field}.values", values, "must be ordered, each value once"))
    return errors


def validate_update(new: Manifest, old: Manifest) -> list[FieldError]:
    """What makes up the Job's pods, and how many it takes, stays."""
    errors: list[FieldError] = []
    for field in ("completions", "selector", "template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex"):
        errors += immutable(f"spec.{field}", new["spec"].get(field), old["spec"].get(field))
    return errors
