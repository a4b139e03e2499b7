"""What the doctor says of a server's job definitions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lando.config import ClusterSettings
from lando.doctor import parts
from lando.doctor.definitions import examine
from lando.doctor.findings import Finding, Level
from tests.unit.doctor.conftest import JOBS, NAMESPACE, REVIEWS, Peer, status

JOB = "{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {template: {spec: POD}}}"
POD = "{restartPolicy: Never, containers: [{name: main, image: busybox}]}"
GOOD = f"- name: a\n  spec: |\n    {JOB.replace('POD', POD)}\n"
BY_MAP = "- name: b\n  spec_config_map_name: b\n  spec_config_map_namespace: jobs\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "definitions.yaml"
    path.write_text(GOOD)
    return path


def found(file: Path, peer: Peer) -> list[Finding]:
    access = ClusterSettings(namespace="jobs", host=peer.url, token="cluster-token")
    return [one for one in examine(str(file), access) if isinstance(one, Finding)]


def test_definitions_that_are_well_are_a_line_each(file: Path, peer: Peer) -> None:
    told = found(file, peer)
    assert [(one.check, one.level) for one in told] == [
        ("reach", Level.OK),
        ("permissions", Level.OK),
        ("namespace", Level.OK),
        ("file", Level.OK),
    ]
    assert told[-1].seen == f"{file} has 1 definition"


def test_a_namespace_that_is_not_there_is_told(file: Path, peer: Peer) -> None:
    peer.answers[JOBS] = status(404, 'namespaces "jobs" not found')
    told = {one.check: one for one in found(file, peer)}["namespace"]
    assert (told.level, told.seen) == (Level.FAILED, "there is no namespace jobs")
    assert "kubectl create namespace jobs" in told.advice


def test_rights_that_are_missing_are_named(file: Path, peer: Peer) -> None:
    def review(question: Any) -> Any:
        asked = question["spec"]["resourceAttributes"]
        # Those in ConfigMaps are not wanted where no definition names one.
        return 201, {"status": {"allowed": asked["verb"] != "watch" and asked["resource"] != "configmaps"}}

    peer.answers[REVIEWS] = review
    told = {one.check: one for one in found(file, peer)}["permissions"]
    assert told.level is Level.FAILED
    assert told.seen == "the account may not watch jobs in jobs"
    assert told.advice == "kubectl -n jobs apply -f openshift/definitions/rights.yaml"


def test_what_is_wrong_with_the_file_and_its_config_maps_is_told_with_its_line(file: Path, peer: Peer) -> None:
    file.write_text(GOOD.replace("Never", "Always") + BY_MAP)
    peer.answers[f"{NAMESPACE}/configmaps/b"] = status(403, "no")
    told = [one for one in found(file, peer) if one.check == "file"]
    assert [one.level for one in told] == [Level.WARNING, Level.WARNING]
    assert told[0].seen.startswith(f"{file}:3: spec.template.spec.restartPolicy: this has to be")
    assert told[1].seen.startswith(f"{file}:5: spec_config_map_name: the ConfigMap b of namespace jobs may not be read")


def test_a_file_that_is_not_there_and_a_cluster_that_is_away_are_told(file: Path, tmp_path: Path, peer: Peer) -> None:
    assert "No such file" in found(tmp_path / "absent", peer)[-1].seen
    away = ClusterSettings(namespace="jobs", host="http://127.0.0.1:9", token="t")
    told = [one for one in examine(str(file), away) if isinstance(one, Finding)]
    assert [(one.check, one.level) for one in told] == [("reach", Level.FAILED), ("file", Level.OK)]


def test_the_server_s_settings_lead_to_its_definitions(tmp_path: Path, file: Path) -> None:
    settings = tmp_path / "api.yaml"
    settings.write_text(f"definitions: {file}\ndefinitions_namespace: batch\n")
    (part,) = parts.of_server(str(settings), None).parts
    assert part.title == "Job definitions, namespace batch"
    settings.write_text("port: 8080\n")
    (part,) = parts.of_server(str(settings), None).parts
    (one,) = part.examine()
    assert isinstance(one, Finding)
    assert one.seen == f"none: {settings} names no file of definitions"


def test_definitions_of_the_environment_are_looked_at_in_a_server_s_pod(file: Path, tmp_path: Path) -> None:
    environment = {"LANDO_API_DEFINITIONS": str(file), "LANDO_API_DEFINITIONS_NAMESPACE": "batch"}
    (part,) = parts.of_server(None, None, environment | {"LANDO_HOME": str(tmp_path)}).parts
    assert part.title == "Job definitions, namespace batch"
    assert parts.of_server(None, None, {}).parts == ()
