"""A container's environment and command line, worked out from its manifest as a kubelet does. Pure.

What it needs from the cluster (ConfigMaps, Secrets) is asked through :class:`Lookups`.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lando.errors import LandoError
from lando.local.rules.quantities import parse_quantity
from lando.local.rules.status import Manifest

_REFERENCE = re.compile(r"\$(?:(\$)|\(([^()]*)\))")
_ANNOTATED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_ENV_NAME = re.compile(r"[ -<>-~]+")
"""What an environment variable taken from a ConfigMap's key may be called: printable ASCII without ``=``."""


class ContainerConfigError(LandoError):
    """The container can't be configured as things are; it is tried again. Shown as CreateContainerConfigError."""


@dataclass(frozen=True, kw_only=True)
class Lookups:
    """How to find what a manifest refers to."""

    config_map: Callable[[str], Manifest | None]
    secret: Callable[[str], Manifest | None]
    node: Mapping[str, str] = field(default_factory=dict)
    """What of the node resourceFieldRef falls back to: ``cpu`` and ``memory``, as quantities."""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``text`` with each ``$(NAME)`` that is known replaced; ``$$`` is a dollar sign, unknown names stay."""

    def value(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        return variables.get(match[2], match[0])

    return _REFERENCE.sub(value, text)


def command_line(container: Manifest, image_command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """Command and arguments; the container's ``command`` takes the place of the image's."""
    command = container.get("command") or list(image_command)
    return [expand(word, variables) for word in [*command, *(container.get("args") or [])]]


def resolve_environment(container: Manifest, pod: Manifest, lookups: Lookups) -> dict[str, str]:
    """``envFrom`` and ``env`` of the container, values filled in, in order.

    Raises ContainerConfigError naming the ConfigMap, Secret or key that is missing.
    """
    variables: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        prefix = source.get("prefix") or ""
        for key, value in _all_values(source, pod, lookups).items():
            name = prefix + key
            if _ENV_NAME.fullmatch(name):
                variables[name] = value
    for entry in container.get("env") or []:
        name, source = entry["name"], entry.get("valueFrom")
        if source:
            found = _referenced(source, container, pod, lookups)
            if found is not None:
                variables[name] = found
        else:
            variables[name] = expand(entry.get("value") or "", variables)
    return variables


def _all_values(source: Manifest, pod: Manifest, lookups: Lookups) -> dict[str, str]:
    if reference := source.get("configMapRef"):
        found = _config_map(reference, lookups)
        return dict((found or {}).get("data") or {})
    reference = source.get("secretRef") or {}
    found = _secret(reference, lookups)
    return {key: _decoded(value) for key, value in ((found or {}).get("data") or {}).items()}


def _referenced(source: Manifest, container: Manifest, pod: Manifest, lookups: Lookups) -> str | None:
    """The value that ``valueFrom`` names; None when it is optional and missing."""
    if reference := source.get("fieldRef"):
        return pod_field(pod, reference["fieldPath"])
    if reference := source.get("resourceFieldRef"):
        return resource_field(container, pod, reference, lookups.node)
    namespace = pod["metadata"]["namespace"]
    if reference := source.get("configMapKeyRef"):
        kind, found = "ConfigMap", _config_map(reference, lookups)
        values = (found or {}).get("data") or {}
    else:
        reference = source.get("secretKeyRef") or {}
        kind, found = "Secret", _secret(reference, lookups)
        values = {key: _decoded(value) for key, value in ((found or {}).get("data") or {}).items()}
    key = reference.get("key", "")
    if key in values:
        return str(values[key])
    if reference.get("optional"):
        return None
    raise ContainerConfigError(f"couldn't find key {key} in {kind} {namespace}/{reference.get('name', '')}")


def _config_map(reference: Manifest, lookups: Lookups) -> Manifest | None:
    name = reference.get("name", "")
    found = lookups.config_map(name)
    if found is None and not reference.get("optional"):
        raise ContainerConfigError(f'configmap "{name}" not found')
    return found


def _secret(reference: Manifest, lookups: Lookups) -> Manifest | None:
    name = reference.get("name", "")
    found = lookups.secret(name)
    if found is None and not reference.get("optional"):
        raise ContainerConfigError(f'secret "{name}" not found')
    return found


def _decoded(value: str) -> str:
    return base64.b64decode(value).decode("utf-8", "replace")


def pod_field(pod: Manifest, path: str) -> str:
    """The text of a ``fieldPath``; ContainerConfigError when it is none that pods offer."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    simple: dict[str, Any] = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.nodeName": spec.get("nodeName"),
        "spec.serviceAccountName": spec.get("serviceAccountName"),
        "status.hostIP": status.get("hostIP"),
        "status.hostIPs": status.get("hostIP"),
        "status.podIP": status.get("podIP"),
        "status.podIPs": status.get("podIP"),
    }
    if path in simple:
        return str(simple[path] or "")
    if path in ("metadata.labels", "metadata.annotations"):
        values = metadata.get(path.removeprefix("metadata.")) or {}
        return "\n".join(f"{key}={_quoted(value)}" for key, value in sorted(values.items()))
    if match := _ANNOTATED.fullmatch(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    raise ContainerConfigError(f"unsupported fieldPath: {path}")


def _quoted(value: str) -> str:
    """A label's or annotation's value as the downward API writes it into files."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def resource_field(container: Manifest, pod: Manifest, reference: Manifest, node: Mapping[str, str]) -> str:
    """The whole number of ``divisor`` units in a container's request or limit; a missing limit is the node's."""
    name = reference.get("containerName")
    if name and name != container.get("name"):
        container = next((each for each in pod["spec"]["containers"] if each["name"] == name), container)
    section, _, resource = str(reference.get("resource", "")).partition(".")
    if section not in ("limits", "requests") or not resource:
        raise ContainerConfigError(f"unsupported container resource: {reference.get('resource')}")
    resources = container.get("resources") or {}
    value = (resources.get(section) or {}).get(resource)
    if value is None and section == "requests":
        value = (resources.get("limits") or {}).get(resource)
    if value is None:
        value = node.get(resource, "0") if section == "limits" else "0"
    divisor = parse_quantity(reference.get("divisor") or "1") or parse_quantity("1")
    return str(math.ceil(parse_quantity(value) / divisor))
