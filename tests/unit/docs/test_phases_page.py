"""The page of Jobs in phases: what it lists is what there is."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from pathlib import Path
from typing import get_args

import kubernetes_validate
import yaml
from lando.cli import phases_app
from lando.direct import events
from lando.direct.rights import LOOKS, wanted
from lando.phases.files import Bundle
from lando.phases.model import Finding, Model, Resource, Settings
from lando.phases.reading import read
from lando.runs import Category

PAGE = (Path(__file__).parents[3] / "docs" / "phases.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def job(name: str) -> str:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "tool"}]}
    spec = {"template": {"spec": pod}}
    return json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec})


FILES = {
    "k8s/fetch/one.yaml": job("one"),
    "k8s/merge.json": job("merge"),
    "k8s/merge.yaml": job("merge"),
    "k8s/report.yaml": job("report"),
    "k8s/settings.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}}",
}
"""What the models name."""


def rows(heading: str) -> dict[str, str]:
    """The table below this heading of its first column: first cell to the rest."""
    table = PAGE.partition(f"| {heading} |")[2].partition("\n\n")[0]
    found = re.findall(r"^\| (.+?) \| (.*) \|$", table, re.MULTILINE)
    return dict(found)


def words(cell: str) -> set[str]:
    return set(re.findall(r"`([\w.]+)`", cell))


def test_every_event_is_listed_with_its_keys() -> None:
    expected = {}
    for kind in get_args(events.Event):
        keys = {field.name for field in dataclasses.fields(kind)}
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
        expected[f"`{name}`"] = keys | ({"exit_code"} if kind is events.Ended else set())
    listed = {name: words(rest.partition(" | ")[0].partition("; of each")[0]) for name, rest in rows("`event`").items()}
    finding = {field.name for field in dataclasses.fields(Finding)}
    assert listed.pop("`problem`") == {"finding"} | finding
    del expected["`problem`"]
    assert listed == expected


def test_every_category_of_causes_is_named() -> None:
    for category in Category:
        assert f"`{category.value}`" in PAGE


def test_every_setting_and_key_of_an_entry_is_listed() -> None:
    settings = {f"`{field.name}`" for field in dataclasses.fields(Settings)}
    assert set(rows("Key of `jobernetes_config`")) == settings
    assert set(rows("Key of an entry")) == {
        f"`{key}`" for key in ("name", "job_path", "type", "depends_on", "retries", "deadline")
    }


def test_every_exit_code_is_listed() -> None:
    listed = {int(code) for codes in rows("Exit code") for code in codes.split(", ")}
    assert listed == {outcome.value for outcome in events.Outcome}


def test_the_models_of_the_page_and_of_the_help_can_be_read() -> None:
    shown = re.findall(r"A model:\n(.*?)\n\n", inspect.getdoc(phases_app.run) or "", re.DOTALL)
    for text in (BLOCKS[0], *shown):
        model, findings = read(Bundle({**FILES, "jobermodel.yaml": text}), "jobermodel.yaml")
        assert findings == []
        assert model is not None
    assert len(shown) == 1


def test_the_job_on_the_page_is_one_that_a_cluster_accepts() -> None:
    kubernetes_validate.validate(yaml.safe_load(BLOCKS[1]), kubernetes_validate.latest_version(), strict=True)


def test_every_right_is_listed() -> None:
    kinds = ("ConfigMap", "Secret", "PersistentVolumeClaim")
    resources = tuple(Resource(path="", manifest={"kind": kind}) for kind in kinds)
    rights = {
        (right.permission.resource, right.permission.verb)
        for right in wanted(Model(path="", settings=Settings(), phases=(), resources=resources))
    } | {(right.resource, right.verb) for right in LOOKS}
    listed = PAGE.partition("| Resource | Verbs | Without |")[2].partition("\n\n")[0]
    for resource, verb in rights:
        if resource in ("configmaps", "secrets", "persistentvolumeclaims"):
            resource = "resources"
        lines = [line for line in listed.splitlines() if re.search(rf"[`/]{re.escape(resource)}`", line)]
        assert any(verb in re.split(r"[,;| ]+", line) for line in lines), (resource, verb)
