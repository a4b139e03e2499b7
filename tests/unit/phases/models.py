"""Small models in bundles, and what reading says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lando.phases.files import Bundle
from lando.phases.model import Finding, Model
from lando.phases.reading import read

PATH = "jobermodel.yaml"


def manifest(name: str, **metadata: Any) -> dict[str, Any]:
    """A Job as plain as can be."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox"}]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, **metadata},
        "spec": {"template": template},
    }


def entry(name: str, *after: str, **keys: Any) -> dict[str, Any]:
    """An entry whose file :func:`bundle` makes."""
    return {"name": name, "job_path": f"{name}.json", **({"depends_on": list(after)} if after else {}), **keys}


def document(*phases: tuple[str, list[dict[str, Any]]], **settings: Any) -> dict[str, Any]:
    """A model file as data."""
    config = {"jobernetes_config": settings} if settings else {}
    return {**config, "jobernetes": [{"phase_name": name, "jobs": entries} for name, entries in phases]}


def bundle(model: Mapping[str, Any] | str, files: Mapping[str, str] | None = None) -> Bundle:
    """The model, a Job for each entry that names a file of its own, and ``files``."""
    texts = {PATH: model if isinstance(model, str) else json.dumps(model)}
    if not isinstance(model, str):
        for phase in model["jobernetes"]:
            for one in phase["jobs"]:
                if one.get("job_path") == f"{one['name']}.json":
                    texts[one["job_path"]] = json.dumps(manifest(one["name"]))
    return Bundle({**texts, **(files or {})})


def checked(
    model: Mapping[str, Any] | str, files: Mapping[str, str] | None = None
) -> tuple[Model | None, list[Finding]]:
    return read(bundle(model, files), PATH)


def sound(model: Mapping[str, Any] | str, files: Mapping[str, str] | None = None) -> Model:
    """A model in which nothing is found."""
    found, findings = checked(model, files)
    assert [str(finding) for finding in findings] == []
    assert found is not None
    return found


def told(model: Mapping[str, Any] | str, files: Mapping[str, str] | None = None) -> list[str]:
    """The findings of a model that is refused."""
    found, findings = checked(model, files)
    assert found is None
    return [str(finding) for finding in findings]
