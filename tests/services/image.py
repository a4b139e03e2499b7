"""The image that ``make image`` built, and its containers as a cluster runs them: the given user, a root file system
that is read-only, no rights at all. bubblewrap stands in for the container engine; the network is the machine's.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.services.providing import missing, start_group

SOMEBODY = 1234567
"""As OpenShift assigns them: nobody in /etc/passwd."""
ACCOUNT_FOLDER = "/run/secrets/kubernetes.io/serviceaccount"  # /var/run is a link to /run


@dataclass(frozen=True)
class Container:
    """One container's surroundings."""

    root: Path
    environment: dict[str, str]
    user: int = SOMEBODY
    group: int = 0
    groups: Sequence[int] = ()
    mounts: dict[str, tuple[Path, bool]] = field(default_factory=dict)
    """Folder and whether it is read-only, by its path inside."""

    def mount(self, folder: Path, path: str, *, read_only: bool = False) -> None:
        """Have ``folder`` at ``path``; the mount point is made, as engines do."""
        (self.root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        self.mounts[path] = folder, read_only

    def command(self, *words: str) -> list[str]:
        """``words`` as the container's process."""
        sandbox = ["bwrap", "--die-with-parent", "--unshare-pid", "--as-pid-1", "--unshare-ipc", "--clearenv"]
        sandbox += ["--ro-bind", str(self.root), "/", "--dev", "/dev", "--proc", "/proc", "--chdir", "/tmp"]
        if "/tmp" not in self.mounts:
            sandbox += ["--perms", "1777", "--tmpfs", "/tmp"]
        for path, (folder, read_only) in self.mounts.items():
            sandbox += ["--ro-bind" if read_only else "--bind", str(folder), path]
        for name, value in self.environment.items():
            sandbox += ["--setenv", name, value]
        for needed in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            sandbox += ["--cap-add", needed]
        groups = ["--groups", ",".join(map(str, self.groups))] if self.groups else ["--clear-groups"]
        user = ["setpriv", "--reuid", str(self.user), "--regid", str(self.group), *groups, "--no-new-privs"]
        return [*sandbox, *user, "--bounding-set=-all", "--inh-caps=-all", *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run them to their end."""
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=120, check=False)


@dataclass(frozen=True)
class Image:
    """A throw-away working container of the image, from which containers are made."""

    root: Path
    settings: Mapping[str, Any]
    """``Env``, ``User`` and so on, as the image says."""

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.split("=", 1) for entry in self.settings["Env"])

    def container(self) -> Container:
        """One of a user that nobody knows."""
        return Container(self.root, self.environment)


@contextmanager
def built_image(above: Path | None = None) -> Iterator[Image]:
    """The image that LANDO_TEST_IMAGE names in buildah's store, or what the Dockerfile in ``above`` makes of it; skips
    the test where there is none."""
    name = os.environ.get("LANDO_TEST_IMAGE")
    if not name or shutil.which("buildah") is None or os.geteuid() != 0:
        missing("buildah", "make image, as root")
    if above is None:
        with _mounted(name) as image:
            yield image
        return
    made = _buildah("build", "--quiet", "--pull-never", "--build-arg", f"LANDO={name}", str(above))
    try:
        with _mounted(made) as image:
            yield image
    finally:
        _buildah("rmi", made)


@contextmanager
def _mounted(name: str) -> Iterator[Image]:
    working = _buildah("from", "--pull-never", name)
    try:
        settings = json.loads(_buildah("inspect", "--type", "image", name))["OCIv1"]["config"]
        yield Image(Path(_buildah("mount", working)), settings)
    finally:
        _buildah("rm", working)


def _buildah(*words: str) -> str:
    return subprocess.run(["buildah", *words], capture_output=True, text=True, timeout=120, check=True).stdout.strip()


@dataclass(frozen=True)
class Kubelet:
    """Runs pods of rendered manifests from the image; what they share lies below ``folder``."""

    image: Image
    folder: Path
    secrets: Mapping[str, Mapping[str, str]]
    """``data`` of each Secret, in base64."""
    account: Mapping[str, str]
    """The files of a service account: ``token``, ``ca.crt``, ``namespace``."""
    environment: Mapping[str, str]
    """What a cluster adds: where its API is."""

    def containers(self, pod: str, spec: Mapping[str, Any]) -> dict[str, Container]:
        """By name, the containers of a pod, their volumes filled."""
        fs_group = spec["securityContext"]["fsGroup"]
        volumes = {volume["name"]: self._volume(pod, volume, fs_group) for volume in spec["volumes"]}
        user, group = map(int, self.image.settings["User"].split(":"))
        found = {}
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            environment = {**self.image.environment, **self.environment}
            for source in container.get("envFrom", []):
                environment |= self._files_of(source["secretRef"]["name"])
            environment |= {entry["name"]: entry["value"] for entry in container.get("env", [])}
            made = Container(self.image.root, environment, user, group, (fs_group,))
            for mount in container["volumeMounts"]:
                made.mount(volumes[mount["name"]], mount["mountPath"], read_only=mount.get("readOnly", False))
            if spec["automountServiceAccountToken"]:
                made.mount(
                    self._filled(f"{pod}-account", self.account, fs_group, 0o444), ACCOUNT_FOLDER, read_only=True
                )
            found[container["name"]] = made
        return found

    def start(self, name: str, container: Container, words: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a container's process; its log is ``<name>.log``."""
        with (self.folder / f"{name}.log").open("ab") as log:
            return start_group(container.command(*words), stdout=log, stderr=log)

    def log(self, name: str) -> str:
        """What it wrote so far."""
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    def _files_of(self, secret: str) -> dict[str, str]:
        return {key: base64.b64decode(value).decode() for key, value in self.secrets.get(secret, {}).items()}

    def _volume(self, pod: str, volume: Mapping[str, Any], fs_group: int) -> Path:
        if "secret" in volume:
            source = volume["secret"]
            return self._filled(
                f"{pod}-{volume['name']}", self._files_of(source["secretName"]), fs_group, source["defaultMode"]
            )
        claim = volume.get("persistentVolumeClaim", {}).get("claimName")
        return self._folder(claim or f"{pod}-{volume['name']}", fs_group)

    def _folder(self, name: str, group: int) -> Path:
        folder = self.folder / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, 0, group)
        folder.chmod(0o2770)
        return folder

    def _filled(self, name: str, files: Mapping[str, str], group: int, mode: int) -> Path:
        folder = self._folder(name, group)
        for key, content in files.items():
            (folder / key).unlink(missing_ok=True)
            (folder / key).write_text(content)
            os.chown(folder / key, 0, group)
            (folder / key).chmod(mode)
        return folder
