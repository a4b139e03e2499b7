"""Volumes as folders of this machine: a pod's volumes are made ready, its containers' mounts resolved.

Claims are folders that outlive pods; ConfigMaps, Secrets, downward and projected volumes are written out anew for each
pod; an emptyDir is a fresh folder of the pod. Nothing of the host is reachable through ``hostPath``: it is refused.
"""

from __future__ import annotations

import base64
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lando.errors import LandoError
from lando.local.node.environment import ContainerConfigError, Lookups, expand, pod_field, resource_field
from lando.local.rules.status import Manifest

DEFAULT_MODE = 0o644


class MountError(LandoError):
    """A volume can't be made ready as things are; it is tried again. Shown as the event FailedMount."""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """One volume of a pod, ready."""

    name: str
    folder: Path
    read_only: bool = False
    written_out: bool = False
    """True when its files were written from objects of the cluster: text in them may be rewritten in copies."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """One place in a container where part of a volume is seen."""

    path: str
    """In the container: absolute, without a slash at its end."""
    source: Path
    read_only: bool = False
    written_out: bool = False


@dataclass(frozen=True, kw_only=True)
class VolumeSources:
    """Where the contents of volumes come from."""

    lookups: Lookups
    claim_folder: Callable[[str], Path | None]
    """The folder of a bound claim by its name; None when there is none yet."""


def prepare_volumes(pod: Manifest, folder: Path, sources: VolumeSources) -> dict[str, Volume]:
    """Make every volume of ``pod`` ready, those of its own below ``folder``.

    Raises MountError worded as a kubelet's ``MountVolume.SetUp failed``.
    """
    volumes = {}
    for declared in pod["spec"].get("volumes") or []:
        name = declared["name"]
        try:
            volumes[name] = _prepare(declared, pod, folder / name, sources)
        except (MountError, ContainerConfigError, OSError) as error:
            raise MountError(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error
    return volumes


def _prepare(declared: Manifest, pod: Manifest, folder: Path, sources: VolumeSources) -> Volume:
    name = declared["name"]
    if (claim := declared.get("persistentVolumeClaim")) is not None:
        place = sources.claim_folder(claim["claimName"])
        if place is None:
            raise MountError(f'persistentvolumeclaim "{claim["claimName"]}" is not bound')
        return Volume(name=name, folder=place, read_only=bool(claim.get("readOnly")))
    if not set(declared) - {"name"} or "emptyDir" in declared:
        folder.mkdir(parents=True, exist_ok=True)
        return Volume(name=name, folder=folder)
    for kind in ("configMap", "secret", "downwardAPI", "projected"):
        if (source := declared.get(kind)) is not None:
            parts = source.get("sources") or [] if kind == "projected" else [{kind: source}]
            files: dict[str, tuple[bytes, int]] = {}
            for part in parts:
                files.update(_files(part, pod, sources.lookups, source.get("defaultMode")))
            _write_out(folder, files)
            return Volume(name=name, folder=folder, read_only=True, written_out=True)
    kind = ", ".join(sorted(set(declared) - {"name"}))
    raise MountError(f"volumes of type {kind} are not offered by this node")


Files = dict[str, tuple[bytes, int]]


def _files(part: Manifest, pod: Manifest, lookups: Lookups, default_mode: int | None) -> Files:
    """Relative path -> content and mode of one source."""
    if (source := part.get("configMap")) is not None:
        name = source.get("name", "")
        found = lookups.config_map(name)
        data = {key: text.encode() for key, text in ((found or {}).get("data") or {}).items()}
        data |= {key: base64.b64decode(text) for key, text in ((found or {}).get("binaryData") or {}).items()}
        return _selected(source, f'configmap "{name}"', data if found is not None else None, default_mode)
    if (source := part.get("secret")) is not None:
        name = source.get("secretName") or source.get("name", "")
        found = lookups.secret(name)
        data = {key: base64.b64decode(text) for key, text in ((found or {}).get("data") or {}).items()}
        return _selected(source, f'secret "{name}"', data if found is not None else None, default_mode)
    if (source := part.get("downwardAPI")) is not None:
        mode = source.get("defaultMode", default_mode)
        return {
            item["path"]: (_downward(item, pod, lookups).encode(), item.get("mode") or mode or DEFAULT_MODE)
            for item in source.get("items") or []
        }
    raise MountError(f"projected sources of type {', '.join(sorted(part))} are not offered by this node")


def _downward(item: Manifest, pod: Manifest, lookups: Lookups) -> str:
    if reference := item.get("fieldRef"):
        return pod_field(pod, reference["fieldPath"])
    return resource_field({}, pod, item["resourceFieldRef"], lookups.node)


def _selected(source: Manifest, what: str, data: Mapping[str, bytes] | None, default_mode: int | None) -> Files:
    """The keys of ``data`` that ``items`` name, or all of them."""
    optional = bool(source.get("optional"))
    if data is None:
        if optional:
            return {}
        raise MountError(f"{what} not found")
    mode = source.get("defaultMode", default_mode) or DEFAULT_MODE
    items = source.get("items")
    if not items:
        return {key: (content, mode) for key, content in data.items()}
    files = {}
    for item in items:
        if item["key"] in data:
            files[item["path"]] = (data[item["key"]], item.get("mode") or mode)
        elif not optional:
            raise MountError(f"{what.split()[0]} references non-existent config key: {item['key']}")
    return files


def _write_out(folder: Path, files: Files) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for relative, (content, mode) in files.items():
        parts = PurePosixPath(relative)
        if parts.is_absolute() or ".." in parts.parts:
            raise MountError(f"the path {relative} leads out of the volume")
        place = folder / parts
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, content, mode)


def replace_file(place: Path, content: bytes, mode: int) -> None:
    """Write ``content`` with the permissions ``mode``, in place of whatever is there; never readable to more."""
    place.unlink(missing_ok=True)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IMODE(mode) & 0o600 | 0o200)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), stat.S_IMODE(mode))


def remove_tree(folder: Path) -> None:
    """Remove a folder, if it is there, with all that is in it, also what programs made unwritable."""
    if not folder.exists():
        return
    try:
        shutil.rmtree(folder)
    except PermissionError:
        for place, _, _ in os.walk(folder):
            os.chmod(place, 0o700)
        shutil.rmtree(folder)


def resolve_mounts(container: Manifest, volumes: Mapping[str, Volume], env: Mapping[str, str]) -> list[Mount]:
    """The container's ``volumeMounts`` with their folders; ContainerConfigError when one can't be."""
    mounts = []
    for declared in container.get("volumeMounts") or []:
        volume = volumes.get(declared["name"])
        if volume is None:
            raise ContainerConfigError(f'volume "{declared["name"]}" is not one of the pod')
        sub_path = expand(declared.get("subPathExpr") or "", env) or declared.get("subPath") or ""
        mounts.append(
            Mount(
                path=container_path(declared["mountPath"]),
                source=_below(volume, sub_path) if sub_path else volume.folder,
                read_only=volume.read_only or bool(declared.get("readOnly")),
                written_out=volume.written_out,
            )
        )
    return mounts


def container_path(path: str) -> str:
    """``path`` as an absolute one without ``.``, ``..`` and doubled slashes."""
    return os.path.normpath("/" + path.lstrip("/"))


def _below(volume: Volume, sub_path: str) -> Path:
    parts = PurePosixPath(sub_path)
    if parts.is_absolute() or ".." in parts.parts:
        raise ContainerConfigError(f'subPath "{sub_path}" leads out of the volume')
    place = volume.folder / parts
    root = volume.folder.resolve()
    if not place.resolve().is_relative_to(root):
        raise ContainerConfigError(f'subPath "{sub_path}" leads out of the volume by a symbolic link')
    if not place.exists() and not volume.written_out:
        place.mkdir(parents=True)
    return place
