"""The manifests of openshift/, as they lie there and as kustomize renders them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from lando.k8s.permissions import Permission

FOLDER = Path(__file__).parents[2] / "openshift"
WORKLOADS = ("Deployment", "CronJob", "Job")


def written() -> list[dict[str, Any]]:
    """Every object in openshift/, but what tells kustomize how to put them together."""
    files = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def of_the_manual() -> dict[str, str]:
    """The files of a site, as docs/deployment.md has its readers write them, by name."""
    marked = r"<!-- file: (\S+) -->\n```\w*\n(.*?)```"
    return dict(re.findall(marked, (FOLDER.parent / "docs" / "deployment.md").read_text(), re.DOTALL))


def rendered(kubectl: str, folder: Path) -> list[dict[str, Any]]:
    """The objects of a kustomization."""
    done = subprocess.run([kubectl, "kustomize", str(folder)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def one(objects: Sequence[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The object of this kind and name."""
    (found,) = (item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name)
    return found


def pod_templates(objects: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By the name of the Deployment or CronJob, metadata and spec of its pods."""
    found = {}
    for item in objects:
        if item["kind"] in WORKLOADS:
            spec = item["spec"]["jobTemplate"]["spec"] if item["kind"] == "CronJob" else item["spec"]
            found[item["metadata"]["name"]] = spec["template"]
    return found


def containers(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All containers of a pod's spec."""
    yield from pod.get("initContainers", [])
    yield from pod["containers"]


def permissions(role: dict[str, Any]) -> set[Permission]:
    """What a Role allows."""
    return {
        Permission(group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
