"""What a pod's spec is filled up with, in pods and in pod templates alike. In place, pure otherwise."""

from __future__ import annotations

from typing import Any

from lando.local.rules.status import Manifest

DEFAULT_FILE_MODE = 0o644
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_DEFAULTS = (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3))


def default_pod_spec(spec: Manifest) -> None:
    """The API server's defaults for ``spec``."""
    for field, value in (
        ("restartPolicy", "Always"),
        ("dnsPolicy", "ClusterFirst"),
        ("securityContext", {}),
        ("schedulerName", "default-scheduler"),
        ("terminationGracePeriodSeconds", 30),
    ):
        spec.setdefault(field, value)
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers_of(spec):
        _default_container(container)
    for volume in spec.get("volumes") or []:
        _default_volume(volume)


def containers_of(spec: Manifest) -> list[Manifest]:
    """Init containers, then containers."""
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def _default_container(container: Manifest) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    container.setdefault("imagePullPolicy", "Always" if _is_latest(container.get("image", "")) else "IfNotPresent")
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or []:
        _default_field_ref((variable.get("valueFrom") or {}).get("fieldRef"))
    for name in _PROBES:
        if probe := container.get(name):
            _default_probe(probe)
    for name in ("postStart", "preStop"):
        _default_http_get(((container.get("lifecycle") or {}).get(name) or {}).get("httpGet"))


def _is_latest(image: str) -> bool:
    """Whether the image's tag is ``latest``, said or implied."""
    if "@" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag in ("", "latest")


def _default_probe(probe: Manifest) -> None:
    for field, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        probe.setdefault(field, value)
    _default_http_get(probe.get("httpGet"))


def _default_http_get(action: Manifest | None) -> None:
    if action is not None:
        action.setdefault("path", "/")
        action.setdefault("scheme", "HTTP")


def _default_field_ref(reference: Manifest | None) -> None:
    if reference is not None:
        reference.setdefault("apiVersion", "v1")


def _default_volume(volume: Manifest) -> None:
    sources = [source for name, source in volume.items() if name != "name"]
    if not sources:
        volume["emptyDir"] = {}
    for kind in ("configMap", "secret", "downwardAPI", "projected"):
        if kind in volume:
            volume[kind].setdefault("defaultMode", DEFAULT_FILE_MODE)
    for item in _downward_items(volume):
        _default_field_ref(item.get("fieldRef"))
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")


def _downward_items(volume: Manifest) -> list[Manifest]:
    items: list[Any] = list((volume.get("downwardAPI") or {}).get("items") or [])
    for source in (volume.get("projected") or {}).get("sources") or []:
        items += (source.get("downwardAPI") or {}).get("items") or []
    return items
