"""The example models: their manifests are valid on a current cluster, and the models name what lies there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

FOLDER = Path(__file__).parents[3] / "examples" / "phases"
MODELS = ("jobermodel.yaml", "advanced.yaml", "letters/model.yaml")


def manifests() -> list[Path]:
    """Every Job, and what the Jobs need besides."""
    return sorted(
        path
        for pattern in ("test-dir/**/*.*", "letters/**/*.*")
        for path in FOLDER.glob(pattern)
        if path.name != "model.yaml"
    )


def entries(model: str) -> list[dict[str, Any]]:
    phases = yaml.safe_load((FOLDER / model).read_text())["jobernetes"]
    return [entry for phase in phases for entry in phase["jobs"]]


@pytest.mark.parametrize("path", manifests(), ids=lambda path: path.name)
def test_a_current_cluster_accepts_every_object(path: Path) -> None:
    kubernetes_validate.validate(yaml.safe_load(path.read_text()), kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("model", MODELS)
def test_every_path_of_a_model_is_there(model: str) -> None:
    for entry in entries(model):
        path = FOLDER / entry["job_path"]
        assert path.is_dir() if entry.get("type") == "directory" else path.is_file(), entry


def test_a_file_s_name_tells_how_long_its_job_sleeps() -> None:
    for path in (FOLDER / "test-dir").rglob("*.yaml"):
        (container,) = yaml.safe_load(path.read_text())["spec"]["template"]["spec"]["containers"]
        (seconds,) = re.findall(r"sleep-(\d+)", path.name)
        assert container["command"] == ["sleep", seconds], path
