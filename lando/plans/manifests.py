"""Kubernetes objects of a step from plain settings: claims, config maps, Jobs, and the overlay of the configuration."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lando import labels
from lando.config import PodSettings, StepSettings
from lando.decide import ObjectRef
from lando.errors import StepError
from lando.runs import Category, Cause

CONFIG_MAP_LIMIT = 1024 * 1024 - 4096
"""Bytes of data that surely fit: Kubernetes allows 1 MiB of keys and values."""
_USER_ID = 1000


def run_record_ref(run_id: int) -> ObjectRef:
    """The run record of a run of any kind (all ids come from one sequence)."""
    return ObjectRef("ConfigMap", f"lando-run-{run_id}")


def owner(run_id: int, uid: str) -> list[dict[str, Any]]:
    """The run record as owner: what is left is garbage collected with it; it never blocks a deletion."""
    return [{"apiVersion": "v1", "kind": "ConfigMap", "name": run_record_ref(run_id).name, "uid": uid}]


@dataclass(frozen=True, kw_only=True)
class Volume:
    """One volume of a pod and where it is mounted."""

    name: str
    mount_path: str
    source: Mapping[str, Any]

    @classmethod
    def claim(cls, name: str, claim: str, mount_path: str, *, read_only: bool) -> Volume:
        """A PersistentVolumeClaim; read-only is set on the claim's side, as the original did."""
        return cls(
            name=name,
            mount_path=mount_path,
            source={"persistentVolumeClaim": {"claimName": claim, "readOnly": read_only}},
        )

    @classmethod
    def config(cls, name: str, config_map: str, key: str, mount_path: str) -> Volume:
        """One key of a ConfigMap as a file of that name."""
        return cls(
            name=name,
            mount_path=mount_path,
            source={"configMap": {"name": config_map, "items": [{"key": key, "path": key}]}},
        )

    @classmethod
    def secret(cls, name: str, secret: str, mount_path: str) -> Volume:
        """A whole Secret."""
        return cls(name=name, mount_path=mount_path, source={"secret": {"secretName": secret}})


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What a step's Job is made of; the overlay of the configuration comes on top."""

    name: str
    labels: Mapping[str, str]
    image: str
    command: Sequence[str]
    args: Sequence[str]
    requests: Mapping[str, Any]
    volumes: Sequence[Volume]
    env: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    working_dir: str | None = None
    service_account: str | None = None
    needs_cluster_token: bool = False
    """Its program calls the Kubernetes API: the account's token is mounted."""


def claim(
    name: str,
    gib: int,
    *,
    object_labels: Mapping[str, str],
    owners: list[dict[str, Any]],
    access_mode: str,
    storage_class: str | None,
) -> dict[str, Any]:
    """A PersistentVolumeClaim of ``gib`` GiB."""
    spec: dict[str, Any] = {"accessModes": [access_mode], "resources": {"requests": {"storage": f"{gib}Gi"}}}
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": dict(object_labels), "ownerReferences": owners},
        "spec": spec,
    }


def config_map(
    name: str,
    key: str,
    document: Mapping[str, Any],
    *,
    object_labels: Mapping[str, str],
    owners: list[dict[str, Any]],
    may_compress: bool,
) -> tuple[dict[str, Any], str]:
    """A ConfigMap with ``document`` as JSON under ``key``, and the key it is under after all.

    What is too large goes gzip'ed into ``binaryData`` under ``<key>.gz`` when the step's program can read that, else
    :class:`lando.errors.StepError` says what the image can't do.
    """
    text = json.dumps(document, ensure_ascii=False)
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": dict(object_labels), "ownerReferences": owners},
    }
    size = len(text.encode())
    if size <= CONFIG_MAP_LIMIT:
        return manifest | {"data": {key: text}}, key
    if not may_compress:
        raise StepError(
            Cause(
                category=Category.USER,
                sentence=f"The command file {key} has {size} bytes; a ConfigMap holds {CONFIG_MAP_LIMIT}.",
                advice="Use fewer input files, or a runtime with Lando's own step images, which read it compressed.",
            )
        )
    packed = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    if len(packed) > CONFIG_MAP_LIMIT:
        raise StepError(
            Cause(
                category=Category.USER,
                sentence=f"The command file {key} has {size} bytes and is too large for a ConfigMap even compressed.",
                advice="Use fewer input files or a shorter job order.",
            )
        )
    return manifest | {"binaryData": {f"{key}.gz": packed}}, f"{key}.gz"


def job(
    spec: JobSpec,
    *,
    attempt: int,
    owners: list[dict[str, Any]],
    pods: PodSettings,
    step: StepSettings,
) -> dict[str, Any]:
    """The Job of one attempt: one pod, never restarted by Kubernetes, so that attempts are counted in one place."""
    annotations = {labels.ATTEMPT: str(attempt)}
    job_spec: dict[str, Any] = {"backoffLimit": 0}
    if step.deadline_s is not None:
        job_spec["activeDeadlineSeconds"] = step.deadline_s
    job_spec["template"] = {
        "metadata": {"name": f"{spec.name}spec", "labels": dict(spec.labels), "annotations": dict(annotations)},
        "spec": _pod(spec, pods, step),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": spec.name,
            "labels": dict(spec.labels),
            "annotations": annotations,
            "ownerReferences": owners,
        },
        "spec": job_spec,
    }


def _pod(spec: JobSpec, pods: PodSettings, step: StepSettings) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": spec.needs_cluster_token,
        "enableServiceLinks": False,
        "containers": [_container(spec, pods, step)],
        "volumes": [{"name": volume.name, **volume.source} for volume in spec.volumes],
    }
    if spec.service_account is not None:
        pod["serviceAccountName"] = spec.service_account
    if pods.security == "restricted":
        pod["securityContext"] = {
            "runAsNonRoot": True,
            "runAsUser": _USER_ID,
            "runAsGroup": _USER_ID,
            "fsGroup": _USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    elif pods.security == "openshift":
        pod["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if pods.node_selector:
        pod["nodeSelector"] = dict(pods.node_selector)
    if pods.tolerations:
        pod["tolerations"] = [dict(toleration) for toleration in pods.tolerations]
    if pods.priority_class is not None:
        pod["priorityClassName"] = pods.priority_class
    if pods.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in pods.image_pull_secrets]
    return pod


def _container(spec: JobSpec, pods: PodSettings, step: StepSettings) -> dict[str, Any]:
    resources: dict[str, Any] = {"requests": dict(spec.requests)}
    limits = {**pods.limits, **step.limits}
    if limits:
        resources["limits"] = limits
    own_names = {entry["name"] for entry in spec.env}
    site = [{"name": name, "value": value} for name, value in sorted(pods.env.items()) if name not in own_names]
    container: dict[str, Any] = {
        "name": spec.name,
        "image": spec.image,
        "command": list(spec.command),
        "args": list(spec.args),
        "env": [*(dict(entry) for entry in spec.env), *site],
        "resources": resources,
        "volumeMounts": [{"name": volume.name, "mountPath": volume.mount_path} for volume in spec.volumes],
    }
    if spec.working_dir is not None:
        container["workingDir"] = spec.working_dir
    if step.image_pull_policy is not None:
        container["imagePullPolicy"] = step.image_pull_policy
    if pods.security != "legacy":
        container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return container
