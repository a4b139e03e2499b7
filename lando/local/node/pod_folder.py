"""Where a pod's things lie on this machine: volumes of its own, logs, termination messages, process records."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from lando.local.node.volumes import remove_tree
from lando.local.rules.status import Manifest

log = logging.getLogger(__name__)


class PodFolder:
    """``<pods>/<uid>/``."""

    def __init__(self, root: Path, uid: str) -> None:
        self.path = root / uid
        self.volumes = self.path / "volumes"

    def container(self, name: str) -> Path:
        return self.path / "containers" / name

    def log(self, name: str, restarts: int) -> Path:
        """The log of one incarnation of a container."""
        return self.container(name) / f"{restarts}.log"

    def identify(self, pod: Manifest) -> None:
        """Make the folder, and note for people whose it is."""
        self.path.mkdir(parents=True, exist_ok=True)
        metadata = pod["metadata"]
        text = json.dumps({"namespace": metadata["namespace"], "name": metadata["name"]})
        (self.path / "pod.json").write_text(text, encoding="utf-8")

    def process_records(self) -> list[Path]:
        return list(self.path.glob("containers/*/process.json"))

    def was_started(self) -> bool:
        """Whether any container of the pod ever got as far as having a log."""
        return any(self.path.glob("containers/*/0.log"))

    def work(self, container: str) -> Path:
        """Where a container works that names no other place."""
        return self.container(container) / "work"

    def release(self) -> None:
        """Delete what an ended pod needs no more: all but its logs and termination messages."""
        for folder in (self.volumes, *self.path.glob("containers/*/work"), *self.path.glob("containers/*/mounts")):
            _remove(folder)

    def remove(self) -> None:
        """Delete all of it; what can't be is left and logged."""
        _remove(self.path)


def _remove(folder: Path) -> None:
    try:
        remove_tree(folder)
    except OSError as error:
        log.warning("the folder of an ended pod could not be removed wholly: %s", error)
