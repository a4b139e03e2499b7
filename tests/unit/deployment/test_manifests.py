"""What openshift/ says of Lando's pods is true of Lando, and gives them no more than they use."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from lando import labels
from lando.api import settings as api_settings
from lando.cli.app import app
from lando.config.settings import Config
from lando.k8s import permissions
from lando.stopping import GRACE_S
from tests.services import manifests

ROOT = Path(__file__).parents[3]
OBJECTS = manifests.written()
PODS = manifests.pod_templates(OBJECTS)
CONTAINERS = {
    f"{name}: {container['name']}": container
    for name, pod in PODS.items()
    for container in manifests.containers(pod["spec"])
}
POLICIES = [item for item in OBJECTS if item["kind"] == "NetworkPolicy"]
OF_OTHERS = ("monitoring.coreos.com/v1",)

pods = pytest.mark.parametrize("pod", [pytest.param(pod["spec"], id=name) for name, pod in PODS.items()])
containers = pytest.mark.parametrize("container", [pytest.param(one, id=name) for name, one in CONTAINERS.items()])


def selects(selector: Mapping[str, Any], found: Mapping[str, str]) -> bool:
    """Whether a label selector of Kubernetes takes an object with the labels ``found``."""
    if any(found.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(found.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", []))


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(item, id=f"{item['kind']} {item['metadata']['name']}")
        for item in OBJECTS
        if item["apiVersion"] not in OF_OTHERS
    ],
)
def test_every_object_is_one_of_the_newest_kubernetes(item: dict[str, Any]) -> None:
    kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize(
    ("role", "needed"),
    [
        ("lando", permissions.LANDO),
        ("lando-watcher", permissions.WATCHER),
        ("lando-server", permissions.SERVER),
        ("lando-definitions", permissions.DEFINITIONS),
    ],
)
def test_a_role_allows_exactly_what_its_process_does(role: str, needed: frozenset[permissions.Permission]) -> None:
    found = manifests.permissions(manifests.one(OBJECTS, "Role", role))
    assert sorted(found - needed) == []
    assert sorted(needed - found) == []


@pods
def test_a_token_is_mounted_only_for_an_account_with_a_role(pod: dict[str, Any]) -> None:
    bound = {
        subject["name"]: item["roleRef"]["name"]
        for item in OBJECTS
        if item["kind"] == "RoleBinding"
        for subject in item["subjects"]
    }
    account = pod["serviceAccountName"]
    assert pod["automountServiceAccountToken"] is (account in bound)
    assert manifests.one(OBJECTS, "ServiceAccount", account)["automountServiceAccountToken"] is False
    assert manifests.one(OBJECTS, "Role", bound[account])


@pods
def test_pods_are_restricted(pod: dict[str, Any]) -> None:
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"secret", "emptyDir", "persistentVolumeClaim"}
    for container in manifests.containers(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert "/tmp" in mounts
        assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}


@containers
def test_a_container_s_command_is_one_of_lando_s(container: dict[str, Any]) -> None:
    assert container["image"] == "lando"
    program, *words = container["command"]
    if program == "python":
        assert words[0] == "-m"
        assert importlib.util.find_spec(words[1]) is not None
        return
    assert program == "lando"
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_parser(typer.Context(command)).parse_args(words)


@containers
def test_a_container_says_what_it_needs_and_may_have(container: dict[str, Any]) -> None:
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", [name for name, pod in PODS.items() if pod["spec"].get("restartPolicy") != "Never"])
def test_a_daemon_is_asked_how_it_is_and_given_time_to_end(name: str) -> None:
    pod = PODS[name]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    asked = {
        probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert {container[probe]["httpGet"]["port"] for probe in asked} == set(ports)
    assert pod["terminationGracePeriodSeconds"] > GRACE_S


def test_the_probes_ask_where_the_manual_has_the_daemons_answer() -> None:
    told = yaml.safe_load(manifests.of_the_manual()["k8s.config"])
    for name in ("lando", "lando-watcher"):
        assert [port["containerPort"] for port in PODS[name]["spec"]["containers"][0]["ports"]] == [
            told["metrics_port"]
        ]
    assert Config.__dataclass_fields__["metrics_host"].default == "0.0.0.0"


def test_the_manual_s_settings_are_good(tmp_path: Path) -> None:
    file = tmp_path / "k8s.config"
    file.write_text(manifests.of_the_manual()["k8s.config"])
    checked = subprocess.run(
        [sys.executable, "-m", "lando", "config", "check", "--strict", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    environment = dict(line.split("=", 1) for line in manifests.of_the_manual()["server.env"].splitlines())
    assert api_settings.load(environment=environment).public_url == "https://lando.example.org"
    known = {f"LANDO_API_{field.upper()}" for field in api_settings.Settings.__dataclass_fields__}
    assert environment.keys() - known == {"LANDO_BROKER"}


def test_selectors_of_services_budgets_and_deployments_meet_pods() -> None:
    for item in OBJECTS:
        if item["kind"] == "Deployment":
            assert selects(item["spec"]["selector"], item["spec"]["template"]["metadata"]["labels"])
        if item["kind"] == "Service":
            assert any(
                selects({"matchLabels": item["spec"]["selector"]}, pod["metadata"]["labels"]) for pod in PODS.values()
            )
        if item["kind"] == "PodDisruptionBudget":
            (replicas,) = (
                other["spec"]["replicas"]
                for other in OBJECTS
                if other["kind"] == "Deployment"
                if selects(item["spec"]["selector"], other["spec"]["template"]["metadata"]["labels"])
            )
            assert item["spec"]["minAvailable"] < replicas, "no node could ever be drained"


def test_all_traffic_is_denied_but_what_a_policy_allows_and_all_pods_can_resolve_names() -> None:
    everything = [policy["spec"] for policy in POLICIES if policy["spec"]["podSelector"] == {}]
    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in everything
    assert any(port["port"] == 53 for spec in everything for rule in spec.get("egress", []) for port in rule["ports"])


@pytest.mark.parametrize("name", PODS)
def test_every_pod_of_lando_has_a_policy_of_its_own(name: str) -> None:
    found = [policy for policy in POLICIES if policy["spec"]["podSelector"]]
    assert any(selects(policy["spec"]["podSelector"], PODS[name]["metadata"]["labels"]) for policy in found)


def test_a_run_s_pods_may_fetch_but_not_ask_the_node_s_metadata_service() -> None:
    step = {labels.BESPIN_JOB: "true", labels.BESPIN_JOB_ID: "7", labels.BESPIN_JOB_STEP: "stage_data"}
    (policy,) = (
        each for each in POLICIES if each["spec"]["podSelector"] and selects(each["spec"]["podSelector"], step)
    )
    rules = policy["spec"]["egress"]
    assert {port["port"] for rule in rules for port in rule["ports"]} == {80, 443, 8080}
    blocks = {peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"] for peer in rules[0]["to"]}
    assert "169.254.0.0/16" in blocks["0.0.0.0/0"]


def test_the_image_s_tag_is_the_version_and_no_image_names_a_registry() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    told = yaml.safe_load((manifests.FOLDER / "base" / "kustomization.yaml").read_text())["images"]
    assert told == [{"name": "lando", "newTag": version}]


def test_the_folder_s_readme_names_every_file() -> None:
    readme = (manifests.FOLDER / "README.md").read_text()
    files = [path.relative_to(manifests.FOLDER) for path in manifests.FOLDER.rglob("*") if path.is_file()]
    names = {f"{file.parent}/" if file.name == "kustomization.yaml" and file.parts[1:] else file.name for file in files}
    assert [name for name in sorted(names - {"README.md"}) if f"`{name}`" not in readme] == []
