"""What kustomize makes of openshift/, and the example of job definitions, is accepted by a real API server."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.services import manifests
from tests.services.kubectl import Kubectl, find_kustomize
from tests.services.providing import wait_until
from tests.services.workloads import notes

EARLIER = {"CronJob": "batch/v1beta1", "PodDisruptionBudget": "policy/v1beta1"}
"""What Kubernetes before 1.21 knows only in an earlier version, with the same fields as far as they are used here."""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The folder that the manual's reader has, beside a checkout."""
    shutil.copytree(manifests.FOLDER, tmp_path / "lando" / "openshift")
    folder = tmp_path / "site"
    folder.mkdir()
    for name, content in manifests.of_the_manual().items():
        (folder / name).write_text(content)
    return folder


@pytest.mark.service("kustomize")
def test_the_manual_s_site_is_the_deployment_with_its_own_image_and_secrets(site: Path) -> None:
    objects = manifests.rendered(find_kustomize(), site)

    for item in objects:
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)
        assert item["metadata"]["namespace"] == "lando"
    secrets = {item["metadata"]["name"]: item["data"] for item in objects if item["kind"] == "Secret"}
    used = set()
    for pod in manifests.pod_templates(objects).values():
        assert pod["spec"]["securityContext"]["fsGroup"] == 1000
        mounted = [volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume]
        used |= {secret["secretName"] for secret in mounted if not secret.get("optional")}
        for container in manifests.containers(pod["spec"]):
            assert container["image"].startswith("registry.example.org/group/lando:")
            used |= {source["secretRef"]["name"] for source in container.get("envFrom", [])}
    assert used == secrets.keys()
    assert {tuple(data) for data in secrets.values()} >= {("k8s.config",)}


@pytest.mark.service("kustomize")
def test_openshift_assigns_the_ids_itself() -> None:
    objects = manifests.rendered(find_kustomize(), manifests.FOLDER)

    for pod in manifests.pod_templates(objects).values():
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & pod["spec"]["securityContext"].keys()


@pytest.fixture
def with_definitions(tmp_path: Path) -> Path:
    """A site whose API server makes Jobs of definitions."""
    folder = tmp_path / "site"
    folder.mkdir()
    lie = f"../{os.path.relpath(manifests.FOLDER, tmp_path)}"
    site = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{lie}/kubernetes"],
        "components": [f"{lie}/definitions"],
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(site))
    return folder


@pytest.mark.service("kustomize")
def test_a_site_has_job_definitions_by_one_line(with_definitions: Path) -> None:
    objects = manifests.rendered(find_kustomize(), with_definitions)

    for item in objects:
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)
    pod = manifests.pod_templates(objects)["lando-server"]["spec"]
    (server,) = pod["containers"]
    (file,) = (entry["value"] for entry in server["env"] if entry["name"] == "LANDO_API_DEFINITIONS")
    (name,) = (mount["name"] for mount in server["volumeMounts"] if mount["mountPath"] == str(Path(file).parent))
    assert {"name": name, "configMap": {"name": "lando-definitions", "optional": True}} in pod["volumes"]


@pytest.fixture
def kubectl(kubeconfig: Path, tmp_path: Path) -> Iterator[Kubectl]:
    """An administrator's, in a namespace of the test's own on a real cluster."""
    namespace = f"lando-{uuid.uuid4().hex[:8]}"
    admin = Kubectl(program=find_kustomize(), kubeconfig=kubeconfig, home=tmp_path, namespace=namespace)
    admin("create", "namespace", namespace)
    yield admin
    admin("delete", "namespace", namespace, "--wait=false")


@pytest.mark.service("kubernetes")
@pytest.mark.parametrize("folder", ["", "kubernetes", "runs"])
def test_a_real_api_server_accepts_every_object(kubectl: Kubectl, folder: str) -> None:
    objects = manifests.rendered(kubectl.program, manifests.FOLDER / folder)
    objects += yaml.safe_load_all((manifests.FOLDER / "calrissian.yaml").read_text())
    known = kubectl("api-resources", "--no-headers")
    document = yaml.safe_dump_all([_fitting(item, known) for item in objects])

    told = kubectl("apply", "--dry-run=server", "-f", "-", document=document)

    assert len(told.splitlines()) == len(objects), told


@pytest.mark.service("kubernetes")
def test_a_real_api_server_accepts_a_site_with_job_definitions(kubectl: Kubectl, with_definitions: Path) -> None:
    (server,) = (
        item
        for item in manifests.rendered(kubectl.program, with_definitions)
        if (item["kind"], item["metadata"]["name"]) == ("Deployment", "lando-server")
    )
    rights = (manifests.FOLDER / "definitions" / "rights.yaml").read_text()

    told = kubectl("apply", "--dry-run=server", "-f", "-", document=f"{yaml.safe_dump(server)}\n---\n{rights}")

    assert len(told.splitlines()) == 3, told


@pytest.mark.service("kubernetes")
def test_the_server_of_definitions_is_applied_as_it_is_and_its_service_reaches_it(kubectl: Kubectl) -> None:
    files = sorted((manifests.FOLDER.parent / "examples/definitions/kubernetes").glob("*.yaml"))
    text = "\n---\n".join(file.read_text() for file in files)
    # Moved to another namespace as its README says; a cluster whose pods are played is told that the server goes on.
    objects = list(yaml.safe_load_all(text.replace("namespace: default", f"namespace: {kubectl.namespace}")))
    for pod in manifests.pod_templates(objects).values():
        pod["metadata"]["annotations"] = notes(duration_s=3600)
    document = yaml.safe_dump_all(objects)
    kubectl("create", "secret", "generic", "job-server", "--from-literal=token=t")

    dry = kubectl("apply", "--dry-run=server", "-f", "-", document=document)
    told = kubectl("apply", "-f", "-", document=document)

    try:
        assert len(dry.splitlines()) == len(told.splitlines()) == len(objects), told
        if os.environ.get("LANDO_TEST_CONTROL_PLANE"):  # elsewhere its image would have to be pulled
            kubectl("wait", "deployment/job-server", "--for=condition=available", "--timeout=60s")
            wait_until(lambda: "subsets" in kubectl.json("get", "endpoints/job-server"), 60, what="the endpoint")
            (subset,) = kubectl.json("get", "endpoints/job-server")["subsets"]
            assert [port["port"] for port in subset["ports"]] == [5000]
        assert "unchanged" in kubectl("apply", "-f", "-", document=document)
    finally:
        kubectl("delete", "--wait=false", "-f", "-", document=document)


def _fitting(item: dict[str, Any], known: str) -> dict[str, Any]:
    """``item`` in a version that the cluster has, by what ``kubectl api-resources`` says."""
    early = EARLIER.get(item["kind"])
    is_known = any({item["apiVersion"], item["kind"]} <= set(line.split()) for line in known.splitlines())
    return {**item, "apiVersion": early} if early and not is_known else item
