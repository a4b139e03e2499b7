"""What the pods of somebody who is not trusted may ask for: to work by themselves, on what their bundle brings.

A list of what is allowed, not of what is not: a key that a newer Kubernetes knows is refused until it is looked at.
What a pod needs besides to be held to that is set by :func:`restrict`, which whoever makes the Job calls. Together they
are the profile ``restricted`` of the Pod Security Standards, and no reach for what is not the bundle's own: secrets,
service accounts, other claims, certain nodes, Services' traffic.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lando.phases.documents import shown
from lando.phases.model import Finding, Model

Found = tuple[str, str]
"""Where in an object, as keys with dots between, and what is wrong there."""

_RESERVED = ("lando", "bespin", "jobernetes", "batch.kubernetes.io", "job-name", "controller-uid")
"""Labels that begin so tell whose an object is."""


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


_POD = _keys("""
    containers initContainers restartPolicy activeDeadlineSeconds terminationGracePeriodSeconds volumes securityContext
    serviceAccountName serviceAccount automountServiceAccountToken hostname subdomain dnsPolicy enableServiceLinks
    shareProcessNamespace hostNetwork hostPID hostIPC
""")
_CONTAINER = _keys("""
    name image imagePullPolicy command args workingDir env envFrom resources volumeMounts ports securityContext
    terminationMessagePath terminationMessagePolicy stdin stdinOnce tty restartPolicy
""")
_JOB = _keys("""
    parallelism completions completionMode backoffLimit backoffLimitPerIndex maxFailedIndexes activeDeadlineSeconds
    ttlSecondsAfterFinished podFailurePolicy podReplacementPolicy successPolicy suspend template
""")
_POD_SECURITY = _keys("""
    runAsUser runAsGroup runAsNonRoot fsGroup fsGroupChangePolicy supplementalGroups seccompProfile
""")
_CONTAINER_SECURITY = _keys("""
    runAsUser runAsGroup runAsNonRoot privileged allowPrivilegeEscalation readOnlyRootFilesystem capabilities
    seccompProfile
""")
_CLAIM = _keys("accessModes resources storageClassName volumeMode")


def beyond_restricted(model: Model) -> Iterator[Finding]:
    """Every thing in the model's Jobs and resources that reaches beyond them."""
    own = {(str(one.manifest.get("kind")), str(one.manifest["metadata"]["name"])) for one in model.resources}
    for phase in model.phases:
        for entry in phase.entries:
            for job in entry.jobs:
                for place, reason in _job(job.manifest, own):
                    yield Finding(file=job.path, phase=phase.name, entry=entry.name, reason=f"{place}: {reason}")
    for resource in model.resources:
        for place, reason in _resource(resource.manifest):
            yield Finding(file=resource.path, reason=f"{place}: {reason}")


def restrict(pod_spec: Mapping[str, Any]) -> dict[str, Any]:
    """The same with what holds a pod to its own: no token, no root, no capabilities, the runtime's system calls."""
    spec: dict[str, Any] = copy.deepcopy(dict(pod_spec))
    spec["automountServiceAccountToken"] = False
    security = dict(spec.get("securityContext") or {})
    spec["securityContext"] = security | {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for key in ("initContainers", "containers"):
        for container in spec.get(key) or ():
            held = {"allowPrivilegeEscalation": False, "privileged": False, "capabilities": {"drop": ["ALL"]}}
            given = dict(container.get("securityContext") or {})
            container["securityContext"] = {**given, **held, "runAsNonRoot": True}
            container["securityContext"].pop("seccompProfile", None)
    return spec


def _job(manifest: Mapping[str, Any], own: set[tuple[str, str]]) -> Iterator[Found]:
    yield from _metadata(manifest.get("metadata"), "metadata", frozenset({"name", "namespace", "labels"}))
    spec = _mapping(manifest.get("spec"))
    yield from _unknown(spec, "spec", _JOB)
    template = _mapping(spec.get("template"))
    yield from _unknown(template, "spec.template", frozenset({"metadata", "spec"}))
    # Labels let Services take a pod for theirs, annotations have other programs give it something.
    yield from _metadata(template.get("metadata"), "spec.template.metadata", frozenset({"name", "namespace"}))
    yield from _pod(_mapping(template.get("spec")), "spec.template.spec", own)


def _resource(manifest: Mapping[str, Any]) -> Iterator[Found]:
    yield from _metadata(manifest.get("metadata"), "metadata", frozenset({"name", "namespace"}))
    if manifest.get("kind") == "PersistentVolumeClaim":
        yield from _unknown(_mapping(manifest.get("spec")), "spec", _CLAIM)


def _pod(spec: Mapping[str, Any], place: str, own: set[tuple[str, str]]) -> Iterator[Found]:
    yield from _unknown(spec, place, _POD)
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        yield from _must_be(spec, place, key, "false", lambda value: value is False)
    for key in ("serviceAccountName", "serviceAccount"):
        yield from _must_be(spec, place, key, "default", lambda value: value == "default")
    yield from _must_be(spec, place, "automountServiceAccountToken", "false", lambda value: value is False)
    yield from _must_be(spec, place, "dnsPolicy", "ClusterFirst", lambda value: value == "ClusterFirst")
    yield from _security(spec.get("securityContext"), f"{place}.securityContext", _POD_SECURITY)
    for index, volume in _items(spec.get("volumes")):
        yield from _volume(volume, f"{place}.volumes[{index}]", own)
    for key in ("initContainers", "containers"):
        for index, container in _items(spec.get(key)):
            yield from _container(container, f"{place}.{key}[{index}]", own)


def _container(container: Mapping[str, Any], place: str, own: set[tuple[str, str]]) -> Iterator[Found]:
    yield from _unknown(container, place, _CONTAINER)
    yield from _security(container.get("securityContext"), f"{place}.securityContext", _CONTAINER_SECURITY)
    for index, port in _items(container.get("ports")):
        for key in ("hostPort", "hostIP"):
            yield from _must_be(port, f"{place}.ports[{index}]", key, "left out", lambda value: value in (0, ""))
    for index, variable in _items(container.get("env")):
        source = _mapping(variable.get("valueFrom"))
        at = f"{place}.env[{index}].valueFrom"
        yield from _unknown(source, at, frozenset({"fieldRef", "resourceFieldRef", "configMapKeyRef"}))
        yield from _own_part(source, at, "configMapKeyRef", "name", "ConfigMap", own)
    for index, source in _items(container.get("envFrom")):
        at = f"{place}.envFrom[{index}]"
        yield from _unknown(source, at, frozenset({"prefix", "configMapRef"}))
        yield from _own_part(source, at, "configMapRef", "name", "ConfigMap", own)


def _volume(volume: Mapping[str, Any], place: str, own: set[tuple[str, str]]) -> Iterator[Found]:
    allowed = frozenset({"name", "emptyDir", "downwardAPI", "configMap", "persistentVolumeClaim"})
    yield from _unknown(volume, place, allowed)
    yield from _own_part(volume, place, "configMap", "name", "ConfigMap", own)
    yield from _own_part(volume, place, "persistentVolumeClaim", "claimName", "PersistentVolumeClaim", own)


def _security(value: Any, place: str, known: frozenset[str]) -> Iterator[Found]:
    context = _mapping(value)
    yield from _unknown(context, place, known)
    yield from _must_be(context, place, "runAsNonRoot", "true", lambda value: value is True)
    for key in ("runAsUser", "runAsGroup", "fsGroup"):
        yield from _must_be(context, place, key, "more than 0", lambda value: type(value) is int and value > 0)
    for key in ("privileged", "allowPrivilegeEscalation"):
        yield from _must_be(context, place, key, "false", lambda value: value is False)
    yield from _must_be(context, place, "supplementalGroups", "groups above 0", lambda value: _are_groups(value))
    yield from _must_be(
        context, place, "seccompProfile", "of type RuntimeDefault", lambda value: value == {"type": "RuntimeDefault"}
    )
    yield from _must_be(
        context, place, "capabilities", 'no more than drop: ["ALL"]', lambda value: value in ({}, {"drop": ["ALL"]})
    )


def _are_groups(value: Any) -> bool:
    return isinstance(value, list) and all(type(group) is int and group > 0 for group in value)


def _metadata(value: Any, place: str, known: frozenset[str]) -> Iterator[Found]:
    metadata = _mapping(value)
    yield from _unknown(metadata, place, known)
    for key in _mapping(metadata.get("labels")) if "labels" in known else ():
        if str(key).startswith(_RESERVED):
            yield (
                f"{place}.labels.{shown(str(key))}",
                "is a label by which Lando and Kubernetes know their own; leave it out",
            )


def _unknown(block: Mapping[str, Any], place: str, known: frozenset[str]) -> Iterator[Found]:
    for key, value in block.items():
        if key not in known and value is not None:
            yield (
                f"{place}.{shown(str(key))}",
                "may not be used here; it could reach beyond the run. Leave it out, or ask the staff",
            )


def _must_be(
    block: Mapping[str, Any], place: str, key: str, wanted: str, fits: Callable[[Any], bool]
) -> Iterator[Found]:
    if block.get(key) is not None and not fits(block[key]):
        yield f"{place}.{key}", f"must be {wanted} here"


def _own_part(
    block: Mapping[str, Any], place: str, key: str, name_key: str, kind: str, own: set[tuple[str, str]]
) -> Iterator[Found]:
    if block.get(key) is None:
        return
    name = _mapping(block[key]).get(name_key)
    if (kind, str(name)) not in own:
        yield f"{place}.{key}", f"names the {kind} {str(name)[:64]}, which is not among the bundle's own resources"


def _items(value: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for index, item in enumerate(value if isinstance(value, list) else ()):
        yield index, _mapping(item)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
