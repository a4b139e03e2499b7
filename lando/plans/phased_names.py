"""A run's own names for what its model brings, so that runs of one model stand side by side; its pods name it so."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

Names = Mapping[tuple[str, str], str]
"""By kind and the name in the model: the name in the cluster."""

JOB_LIMIT = 63  # of a DNS label, which a Job's name becomes in its pods' labels
OBJECT_LIMIT = 253


def own_name(name: str, run_id: int, limit: int = OBJECT_LIMIT) -> str:
    """``<name>-<run id>``; of a longer name the beginning and a hash of the whole, which tells it from others."""
    whole = f"{name}-{run_id}"
    if len(whole) <= limit:
        return whole
    ending = f"-{hashlib.sha256(name.encode()).hexdigest()[:8]}-{run_id}"
    return name[: limit - len(ending)].rstrip("-.") + ending


def with_names(pod_spec: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The same pod, which finds what ``names`` has under its name in the cluster."""
    spec: dict[str, Any] = copy.deepcopy(dict(pod_spec))
    for kind, block, key in _references(spec):
        block[key] = names.get((kind, str(block.get(key))), block.get(key))
    return spec


def _references(spec: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Kind, block and key of everything that a pod names and a bundle can bring."""
    for volume in _blocks(spec.get("volumes")):
        yield from _at(volume, ("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName"))
        yield from _at(volume, ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"))
        for projected in _blocks([volume.get("projected")]):
            for source in _blocks(projected.get("sources")):
                yield from _at(source, ("configMap", "ConfigMap", "name"), ("secret", "Secret", "name"))
    for key in ("initContainers", "containers"):
        for container in _blocks(spec.get(key)):
            for variable in _blocks(container.get("env")):
                for one in _blocks([variable.get("valueFrom")]):
                    yield from _at(one, ("configMapKeyRef", "ConfigMap", "name"), ("secretKeyRef", "Secret", "name"))
            for source in _blocks(container.get("envFrom")):
                yield from _at(source, ("configMapRef", "ConfigMap", "name"), ("secretRef", "Secret", "name"))
    for secret in _blocks(spec.get("imagePullSecrets")):
        if "name" in secret:
            yield "Secret", secret, "name"


def _at(block: dict[str, Any], *places: tuple[str, str, str]) -> Iterator[tuple[str, dict[str, Any], str]]:
    for place, kind, key in places:
        if isinstance(block.get(place), dict) and key in block[place]:
            yield kind, block[place], key


def _blocks(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
