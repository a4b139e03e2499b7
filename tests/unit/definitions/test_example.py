"""The manifests of examples/definitions."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from fastapi.testclient import TestClient
from lando.definitions import definitions_file
from lando.definitions.config import JobDefinition, JobManagerFactory
from lando.definitions.exceptions import ArgumentError
from lando.definitions.spec import JobGenerator, YamlStringSpecSource
from tests.unit.definitions.conftest import FakeBatch

EXAMPLE = Path(__file__).parents[3] / "examples/definitions"
FOLDER = EXAMPLE / "kubernetes"
OBJECTS: list[dict[str, Any]] = [
    document for file in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(file.read_text())
]
BY_KIND = {(one["kind"], one["metadata"]["name"]): one for one in OBJECTS}


def definitions() -> dict[str, JobDefinition]:
    text = BY_KIND["ConfigMap", "job-definitions"]["data"]["job-definitions"]
    contents = definitions_file.read(text, "job-definitions")
    assert contents.problems == ()
    return dict(contents.definitions)


@pytest.mark.parametrize("item", OBJECTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_every_object_fits_the_newest_schema(item: dict[str, Any]) -> None:
    kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", ["helloworld", "fail", "timeout", "template"])
def test_every_definition_makes_a_valid_job(name: str) -> None:
    if name == "helloworld":
        generator = JobGenerator(YamlStringSpecSource(BY_KIND["ConfigMap", "helloworld"]["data"]["helloworld"]))
    else:
        generator = JobGenerator(definitions()[name].spec_source())

    made = generator.generate({"name": "you"} if name == "template" else None)

    kubernetes_validate.validate(made, kubernetes_validate.latest_version(), strict=True)
    assert made["spec"]["backoffLimit"] == 0


def test_the_manifest_itself_is_a_definitions_file_with_its_own_line_numbers() -> None:
    text = (FOLDER / "job-definitions.yaml").read_text()

    assert definitions_file.read(text, "f").definitions == definitions()
    broken = definitions_file.read(text.replace("- name: timeout", "- nme: timeout"), "f")
    line = text[: text.index("- name: timeout")].count("\n") + 1
    assert [str(problem.error) for problem in broken.problems] == [
        f"f:{line}: nme: there is no such key; there are name, spec, spec_path, spec_config_map_name, "
        "spec_config_map_namespace, arguments"
    ]


def test_the_definitions_take_all_three_forms() -> None:
    found = definitions()

    assert found.keys() == {"helloworld", "helloworld-via-configmap", "fail", "timeout", "template"}
    assert found["helloworld"].spec_path == "/etc/job-specs/helloworld"
    assert (name := found["helloworld-via-configmap"].spec_config_map_name) is not None
    assert name in BY_KIND["ConfigMap", name]["data"]
    spec = found["timeout"].spec_source().get()["spec"]
    assert spec["activeDeadlineSeconds"] == 10
    assert spec["template"]["spec"]["containers"][0]["command"] == ["sleep", "600"]


def test_the_account_may_what_the_server_does_and_no_more() -> None:
    granted = {
        resource: sorted(rule["verbs"])
        for name in ("job-manager", "config-reader")
        for rule in BY_KIND["ClusterRole", name]["rules"]
        for resource in rule["resources"]
    }

    assert granted == {
        "jobs": ["create", "delete", "get", "list", "patch"],
        "jobs/status": ["get", "list"],
        "pods": ["get", "list"],
        "pods/log": ["get", "list"],
        "configmaps": ["get"],
    }
    for role in ("job-manager", "config-reader"):
        binding = BY_KIND["RoleBinding", f"job-server-{role}"]
        assert binding["roleRef"]["name"] == role
        assert [one["name"] for one in binding["subjects"]] == ["job-server"]


def test_the_deployment_finds_what_it_names() -> None:
    pod = BY_KIND["Deployment", "job-server"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    variables = {one["name"]: one for one in container["env"]}
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    maps = {one["name"]: one["configMap"]["name"] for one in pod["spec"]["volumes"] if "configMap" in one}
    files = {f"{mounts[name]}/{key}" for name, config in maps.items() for key in BY_KIND["ConfigMap", config]["data"]}

    assert variables["JOB_DEFINITIONS_CONFIG_PATH"]["value"] in files
    assert definitions()["helloworld"].spec_path in files
    assert variables["JOB_NAMESPACE"]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.namespace"
    assert variables["IN_CLUSTER"]["value"]
    assert pod["spec"]["serviceAccountName"] == BY_KIND["ServiceAccount", "job-server"]["metadata"]["name"]
    service = BY_KIND["Service", "job-server"]["spec"]
    assert service["type"] == "NodePort"
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    assert service["ports"][0]["port"] == 5000
    assert service["ports"][0]["targetPort"] == container["ports"][0]["name"]


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("checksums", {"folder": "run 42/raw"}, ["checksums", "/data/run 42/raw"]),
        ("sort-alignments", {"bam": "a.bam", "threads": 2}, ["-o", "/data/a.bam.sorted", "/data/a.bam"]),
        ("usage", {"night": "2024-02-29"}, ["-d", "1", "/data"]),
    ],
)
def test_the_definitions_for_a_volume_make_valid_jobs(name: str, arguments: dict[str, Any], words: list[str]) -> None:
    contents = definitions_file.read((EXAMPLE / "definitions.yaml").read_text(), "definitions.yaml")
    assert contents.problems == ()
    source = contents.definitions[name].spec_source()

    made = source.get(arguments)

    kubernetes_validate.validate(made, kubernetes_validate.latest_version(), strict=True)
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert [*container["command"], *container.get("args", [])][-len(words) :] == words
    assert pod["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    if name == "sort-alignments":
        assert container["resources"]["requests"] == {"cpu": 2, "memory": "2048Mi"}
    first = next(iter(arguments))
    for wrong in ("../up", "/etc", "-x", "a/../../b", "a/", ""):
        with pytest.raises(ArgumentError, match=f"argument {first}: "):
            source.get({**arguments, first: wrong})


def test_the_application_makes_one_job_of_a_user_s_wish_and_shows_each_user_their_own(batch: FakeBatch) -> None:
    spec = importlib.util.spec_from_file_location("app", EXAMPLE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    manager = JobManagerFactory.from_vars("ours", "lando", EXAMPLE / "definitions.yaml").manager()
    ada, bob = {"Remote-User": "ada"}, {"Remote-User": "bob"}

    with TestClient(app.create_app(manager)) as client:
        names = {
            client.post("/folders/run-42/checksums", headers={**who, "Idempotency-Key": "k"}).json()["job_name"]
            for who in (ada, bob, bob)
        }

        assert names == batch.jobs.keys()
        assert len(names) == 2
        (bobs,) = client.get("/jobs", headers=bob).json().items()
        assert bobs[0] in names
        assert bobs[1] == "Running"
        assert client.get("/jobs").status_code == 401
        assert client.post("/folders/.../checksums", headers=bob).json()["error"] == "InvalidArgument"
        assert client.get("/k8s-jobs/jobs", headers=bob).status_code == 403
        assert client.get("/k8s-jobs/jobs", headers=ada).json()["jobs"].keys() == names
