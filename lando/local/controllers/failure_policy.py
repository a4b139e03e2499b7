"""A Job's ``podFailurePolicy``: what the failure of one of its pods means for the Job. Pure.

The first rule that fits decides, as the Kubernetes job controller has it
(https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy).
"""

from __future__ import annotations

from dataclasses import dataclass

from lando.local.rules.status import Manifest

COUNT = "Count"
IGNORE = "Ignore"
FAIL_JOB = "FailJob"


@dataclass(frozen=True)
class Judgement:
    action: str = COUNT
    """``Count``, ``Ignore`` or ``FailJob``."""
    message: str = ""
    """Which rule fitted to what."""


def judge(spec: Manifest, pod: Manifest) -> Judgement:
    """What the ``spec`` of a Job says of a pod that has failed."""
    for at, rule in enumerate((spec.get("podFailurePolicy") or {}).get("rules") or []):
        found = _by_exit_code(rule, pod) or _by_condition(rule, pod)
        if found:
            action = str(rule["action"])
            return Judgement(action, f"{found} matching {action} rule at index {at}")
    return Judgement()


def _by_exit_code(rule: Manifest, pod: Manifest) -> str:
    wanted = rule.get("onExitCodes")
    if not wanted:
        return ""
    status = pod.get("status") or {}
    for each in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        if wanted.get("containerName", each["name"]) != each["name"]:
            continue
        code = ((each.get("state") or {}).get("terminated") or {}).get("exitCode", 0)
        if code != 0 and (code in wanted["values"]) is (wanted["operator"] == "In"):
            return f"Container {each['name']} for pod {_name(pod)} failed with exit code {code}"
    return ""


def _by_condition(rule: Manifest, pod: Manifest) -> str:
    held = {(entry["type"], entry["status"]) for entry in (pod.get("status") or {}).get("conditions") or []}
    for wanted in rule.get("onPodConditions") or []:
        if (wanted["type"], wanted.get("status", "True")) in held:
            return f"Pod {_name(pod)} has condition {wanted['type']}"
    return ""


def _name(pod: Manifest) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
