"""The original's ``jobconfig``: the settings of a model file (phases contract, 2 and 11)."""

from __future__ import annotations

from typing import Any

from lando.jobernetes.jobmodel import read_or_exit


class JobConfig:
    """The section ``jobernetes_config`` of the model file at ``path``."""

    def __init__(self, path: str = "jobermodel.yaml") -> None:
        self.path = path

    def get_jobconfig(self) -> dict[str, Any]:
        """Every setting by its key, as given or by default; exits with 1 where the model can't be run."""
        settings = read_or_exit(self.path).settings
        return {**vars(settings), "on_failure": settings.on_failure.value, "resources": list(settings.resources)}
