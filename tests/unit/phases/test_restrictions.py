"""Pods of somebody who is not trusted: what they may ask for, and what is set for them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from lando.phases.files import Bundle
from lando.phases.reading import read
from lando.phases.restrictions import beyond_restricted, restrict

MODEL = """
jobernetes_config: {resources: [own.yaml]}
jobernetes: [{phase_name: p, jobs: [{name: e, job_path: job.yaml}]}]
"""
OWN: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "b"}},
    {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    },
]
CONTAINER: dict[str, Any] = {
    "name": "main",
    "image": "busybox",
    "command": ["true"],
    "env": [
        {"name": "A", "value": "b"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}},
    ],
    "envFrom": [{"configMapRef": {"name": "settings"}}],
    "resources": {"limits": {"memory": "1Gi"}},
    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    "ports": [{"containerPort": 80}],
    "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True},
}
POD: dict[str, Any] = {
    "restartPolicy": "Never",
    "serviceAccountName": "default",
    "hostNetwork": False,
    "securityContext": {"runAsNonRoot": True, "fsGroup": 1000, "supplementalGroups": [1001]},
    "containers": [CONTAINER],
    "volumes": [
        {"name": "scratch", "emptyDir": {}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "settings", "configMap": {"name": "settings"}},
    ],
}
POD_PLACE = "spec.template.spec"
JOB: dict[str, Any] = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "job", "labels": {"app": "load"}},
    "spec": {"backoffLimit": 0, "template": {"spec": POD}},
}


def found(job: dict[str, Any], own: list[dict[str, Any]] = OWN) -> list[str]:
    texts = {"model.yaml": MODEL, "job.yaml": repr(job), "own.yaml": "\n---\n".join(map(repr, own))}
    model, findings = read(Bundle(texts), "model.yaml")
    assert model is not None, findings
    return [finding.reason.partition(": ")[0] for finding in beyond_restricted(model)]


def changed(place: str, value: Any, whole: dict[str, Any] = JOB) -> dict[str, Any]:
    """``whole`` with another value at a place, written as findings write it."""
    copied: Any = copy.deepcopy(whole)
    *above, last = place.replace("[", ".[").split(".")
    block = copied
    for key in above:
        block = block[int(key[1:-1])] if key.startswith("[") else block.setdefault(key, {})
    if last.startswith("["):
        block.append(value)
    else:
        block[last] = value
    result: dict[str, Any] = copied
    return result


def test_what_stays_within_the_run_is_allowed() -> None:
    assert found(JOB) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (f"{POD_PLACE}.hostNetwork", True),
        (f"{POD_PLACE}.hostPID", "yes"),
        (f"{POD_PLACE}.hostIPC", True),
        (f"{POD_PLACE}.serviceAccountName", "lando"),
        (f"{POD_PLACE}.serviceAccount", "lando"),
        (f"{POD_PLACE}.automountServiceAccountToken", True),
        (f"{POD_PLACE}.nodeName", "control-plane"),
        (f"{POD_PLACE}.nodeSelector", {"role": "control-plane"}),
        (f"{POD_PLACE}.tolerations", [{"operator": "Exists"}]),
        (f"{POD_PLACE}.priorityClassName", "system-node-critical"),
        (f"{POD_PLACE}.runtimeClassName", "other"),
        (f"{POD_PLACE}.imagePullSecrets", [{"name": "login"}]),
        (f"{POD_PLACE}.hostAliases", []),
        (f"{POD_PLACE}.somethingOfNextYear", 1),
        (f"{POD_PLACE}.securityContext.sysctls", []),
        (f"{POD_PLACE}.securityContext.runAsNonRoot", False),
        (f"{POD_PLACE}.securityContext.runAsUser", 0),
        (f"{POD_PLACE}.securityContext.supplementalGroups", [0]),
        (f"{POD_PLACE}.securityContext.seccompProfile", {"type": "Unconfined"}),
        (f"{POD_PLACE}.containers[0].securityContext.privileged", True),
        (f"{POD_PLACE}.containers[0].securityContext.allowPrivilegeEscalation", True),
        (f"{POD_PLACE}.containers[0].securityContext.capabilities", {"add": ["NET_ADMIN"]}),
        (f"{POD_PLACE}.containers[0].securityContext.procMount", "Unmasked"),
        (f"{POD_PLACE}.containers[0].volumeDevices", []),
        (f"{POD_PLACE}.containers[0].lifecycle", {}),
        (f"{POD_PLACE}.containers[0].livenessProbe", {"httpGet": {"host": "10.0.0.1"}}),
        (f"{POD_PLACE}.containers[0].ports[0].hostPort", 80),
        (f"{POD_PLACE}.containers[0].env[0].valueFrom.secretKeyRef", {"name": "login", "key": "password"}),
        (f"{POD_PLACE}.containers[0].env[2].valueFrom.configMapKeyRef", {"name": "lando-run-1", "key": "a"}),
        (f"{POD_PLACE}.containers[0].envFrom[0].secretRef", {"name": "login"}),
        (f"{POD_PLACE}.containers[0].envFrom[0].configMapRef", {"name": "others"}),
        (f"{POD_PLACE}.volumes[0].hostPath", {"path": "/"}),
        (f"{POD_PLACE}.volumes[0].secret", {"secretName": "login"}),
        (f"{POD_PLACE}.volumes[0].projected", {"sources": []}),
        (f"{POD_PLACE}.volumes[0].csi", {"driver": "x"}),
        (f"{POD_PLACE}.volumes[1].persistentVolumeClaim", {"claimName": "data-of-run-7"}),
        (f"{POD_PLACE}.volumes[2].configMap", {"name": "others"}),
        ("spec.manualSelector", True),
        ("spec.selector", {"matchLabels": {"app": "others"}}),
        ("spec.template.metadata.labels", {"app": "web"}),
        ("spec.template.metadata.annotations", {"inject": "secrets"}),
        ("metadata.finalizers", ["x"]),
        ("metadata.labels.lando-run-id", "7"),
        ("metadata.labels.bespin-job", "true"),
    ],
)
def test_what_reaches_beyond_the_run_is_named_by_its_place(place: str, value: Any) -> None:
    assert found(changed(place, value)) == [place]
    if ".containers" in place:
        inner = changed(f"{POD_PLACE}.initContainers", [CONTAINER])
        assert found(changed(place.replace("containers", "initContainers"), value, inner)) == [
            place.replace("containers", "initContainers")
        ]


@pytest.mark.parametrize(
    ("index", "place", "value"),
    [
        (0, "metadata.labels", {"lando-run-record": "7"}),
        (1, "metadata.annotations", {"volume.kubernetes.io/selected-node": "x"}),
        (1, "spec.volumeName", "pv-of-somebody"),
        (1, "spec.dataSource", {"kind": "PersistentVolumeClaim", "name": "others"}),
        (1, "spec.selector", {}),
    ],
)
def test_resources_bring_nothing_of_others(index: int, place: str, value: Any) -> None:
    own = copy.deepcopy(OWN)
    own[index] = changed(place, value, own[index])
    assert found(JOB, own) == [place]


def test_what_a_pod_needs_to_be_held_is_set_whatever_it_says() -> None:
    spec = {
        "containers": [{"name": "a", "securityContext": {"runAsUser": 7, "privileged": True}}, {"name": "b"}],
        "initContainers": [{"name": "c"}],
    }
    held = restrict(spec)
    assert held["automountServiceAccountToken"] is False
    assert held["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in (*held["containers"], *held["initContainers"]):
        context = container["securityContext"]
        assert (context["privileged"], context["allowPrivilegeEscalation"]) == (False, False)
        assert (context["runAsNonRoot"], context["capabilities"]) == (True, {"drop": ["ALL"]})
    assert held["containers"][0]["securityContext"]["runAsUser"] == 7
    assert "automountServiceAccountToken" not in spec, "what was given is left as it is"
