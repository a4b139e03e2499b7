"""What stands in for container images on a node without them: a table from image names to programs of this machine.

``lando-steps:…`` and ``lando:…`` are this installation. More are named in a YAML file, by patterns of :mod:`fnmatch`;
the first that fits is taken::

    images:
      - pattern: "registry.example/biocontainers/samtools:*"
        command: [samtools]
        env: {SAMTOOLS_THREADS: "2"}

An image that no pattern fits can still run, when its container names a command: then that program of this machine runs.
The official base images have no entry point, so that for them arguments alone are a command.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from lando.errors import ConfigError, LandoError

INHERITED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY",
    "HTTPS_PROXY", "NO_PROXY", "DOCKER_HOST", "XDG_RUNTIME_DIR",
)  # fmt: skip
"""Variables of this process that containers get too: what programs of this machine need to work. Nothing else, lest
secrets of the daemons reach them."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


_BASES = re.compile(
    r"([^/]+\.[^/]+/)?((.+/)?library/)?(almalinux|alpine|amazonlinux|busybox|debian|fedora|perl|python|rockylinux|ubuntu)"
    r"([:@].*)?"
)


class ImagePullError(LandoError):
    """No program of this machine stands for the image, and the container names none."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """What an image means here."""

    pattern: str
    command: tuple[str, ...] = ()
    """Runs where the container names no command."""
    env: Mapping[str, str] = field(default_factory=dict)


def installation_images() -> list[Image]:
    """Lando's own step images: this very installation, its ``python`` first on the PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", DEFAULT_PATH)])
    env = {"PATH": path, "PYTHONUNBUFFERED": "1"}
    names = ("lando-steps", "lando-steps:*", "lando", "lando:*")
    return [Image(pattern=name, env=env) for name in names]


class ImageTable:
    """The images known here: those of ``path`` (if there is such a file) first, then the built-in ones."""

    def __init__(self, path: Path | None = None, builtin: Sequence[Image] | None = None) -> None:
        self._path = path
        self._builtin = list(builtin) if builtin is not None else installation_images()
        self._read: tuple[int, list[Image]] = (-1, [])

    def resolve(self, name: str, *, has_command: bool, has_args: bool = False) -> Image:
        """What ``name`` means; ImagePullError when it is unknown and the container says not what to run.

        The file is read again when it has changed. Raises ImagePullError, too, when it can't be read.
        """
        try:
            known = self._from_file() + self._builtin
        except ConfigError as error:
            raise ImagePullError(f'failed to pull image "{name}": {error}') from error
        for image in known:
            if fnmatchcase(name, image.pattern):
                if not image.command and not has_command:
                    raise ImagePullError(
                        f'image "{name}" has no command of its own on this node, and the container names none: give '
                        f"the container a command, or the image one in {self._place()}"
                    )
                return image
        if has_command or (has_args and _BASES.fullmatch(name)):
            return Image(pattern=name)
        raise ImagePullError(
            f'failed to pull image "{name}": this node runs programs of the machine, not images; name a command for '
            f"it in {self._place()}, or give the container a command"
        )

    def _place(self) -> str:
        return str(self._path) if self._path is not None else "the image table"

    def _from_file(self) -> list[Image]:
        if self._path is None:
            return []
        try:
            changed = self._path.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        if self._read[0] != changed:
            self._read = (changed, read_images(self._path))
        return self._read[1]


def read_images(path: Path) -> list[Image]:
    """The images that a YAML file names. Raises ConfigError with the entry at fault."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} can't be read as YAML: {error}") from error
    entries = (document or {}).get("images") if isinstance(document or {}, dict) else None
    if document and not isinstance(entries, list):
        raise ConfigError(f"{path}: expected a list under the key images")
    return [_image(entry, f"{path}: images[{at}]") for at, entry in enumerate(entries or [])]


def _image(entry: Any, place: str) -> Image:
    if not isinstance(entry, dict) or not isinstance(entry.get("pattern"), str):
        raise ConfigError(f"{place} needs a pattern, such as tool:*")
    if unknown := set(entry) - {"pattern", "command", "env"}:
        raise ConfigError(f"{place} has the unknown key {sorted(unknown)[0]}; known are pattern, command and env")
    command, env = entry.get("command") or [], entry.get("env") or {}
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        raise ConfigError(f"{place}.command must be a list of strings")
    if not isinstance(env, dict) or not all(isinstance(value, str) for value in env.values()):
        raise ConfigError(f"{place}.env must map names to strings")
    return Image(pattern=entry["pattern"], command=tuple(command), env={str(key): value for key, value in env.items()})


def base_environment(image: Image, hostname: str) -> dict[str, str]:
    """The environment a container of ``image`` starts from, before its manifest's own."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {"PATH": DEFAULT_PATH, **inherited, **image.env, "HOSTNAME": hostname}
