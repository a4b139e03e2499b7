"""What lando asks of a cluster is what its role allows."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from tests.crash_points.scenarios import DISTURBED, Scenario
from tests.crash_points.trying import Explore

RBAC = Path(__file__).parents[2] / "openshift" / "runs" / "accounts.yaml"
RESOURCES = {
    "Job": "jobs",
    "Pod": "pods",
    "ConfigMap": "configmaps",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Event": "events",
}


def allowed(role: str) -> set[tuple[str, str]]:
    """Verb and resource of each right."""
    documents = yaml.safe_load_all(RBAC.read_text())
    (found,) = (one for one in documents if one["kind"] == "Role" and one["metadata"]["name"] == role)
    return {(verb, resource) for rule in found["rules"] for resource in rule["resources"] for verb in rule["verbs"]}


@pytest.mark.parametrize("scenario", DISTURBED, ids=lambda scenario: scenario.name)
def test_every_call_of_lando_is_a_right_of_its_role(explore: Explore, scenario: Scenario) -> None:
    asked = {
        tuple(call.what.split()[:2])
        for recorded in explore(scenario).recorded
        for call in recorded.calls
        if call.peer == "cluster"
    }
    needed = {("get", "pods/log") if verb == "log" else (verb, RESOURCES[kind]) for verb, kind in asked}
    assert ("create", "jobs") in needed
    assert needed <= allowed("lando")
