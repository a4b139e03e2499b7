"""The official Python client and its models on the embedded cluster."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes
import pytest
import yaml
from kubernetes.client import exceptions
from lando.local.cluster import LocalCluster
from tests.services.providing import wait_until

official: Any = kubernetes  # much of it has no types
models: Any = kubernetes.client
NUMBERS = itertools.count(1)
WAIT_S = 30


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(tmp_path_factory.mktemp("cluster"), sandbox="substitute") as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Any]:
    """As a program gets one: from the kubeconfig."""
    with official.config.new_client_from_config(str(cluster.kubeconfig_file)) as client:
        yield client


@pytest.fixture
def core(client: Any) -> Any:
    return models.CoreV1Api(client)


@pytest.fixture
def batch(client: Any) -> Any:
    return models.BatchV1Api(client)


@pytest.fixture
def namespace(core: Any) -> str:
    name = f"test-{next(NUMBERS)}"
    metadata = models.V1ObjectMeta(name=name)
    core.create_namespace(models.V1Namespace(metadata=metadata))
    return name


def job(name: str, script: str) -> Any:
    container = models.V1Container(name="main", image="none", command=["sh", "-c", script])
    pod = models.V1PodTemplateSpec(
        metadata=models.V1ObjectMeta(labels={"app": name}),
        spec=models.V1PodSpec(restart_policy="Never", containers=[container]),
    )
    spec = models.V1JobSpec(template=pod, backoff_limit=0)
    return models.V1Job(metadata=models.V1ObjectMeta(name=name, labels={"app": name}), spec=spec)


def test_a_job_of_models_is_made_watched_and_read(core: Any, batch: Any, namespace: str) -> None:
    made = batch.create_namespaced_job(namespace, job("typed", "echo from the pod"))
    assert made.spec.completions == 1
    assert made.metadata.creation_timestamp.tzinfo is not None
    watch = official.watch.Watch()
    seen: list[str] = []
    for event in watch.stream(
        batch.list_namespaced_job,
        namespace,
        label_selector="app=typed",
        resource_version=made.metadata.resource_version,
        timeout_seconds=WAIT_S,
    ):
        seen.append(event["type"])
        if any(each.type == "Complete" for each in event["object"].status.conditions or []):
            watch.stop()
    assert set(seen) == {"MODIFIED"}
    (pod,) = core.list_namespaced_pod(namespace, label_selector="job-name=typed").items
    assert pod.status.container_statuses[0].state.terminated.exit_code == 0
    assert core.read_namespaced_pod_log(pod.metadata.name, namespace) == "from the pod\n"
    job_now = batch.read_namespaced_job("typed", namespace)
    assert (job_now.status.succeeded, job_now.status.completion_time.tzinfo is not None) == (1, True)
    messages = [event.message for event in core.list_namespaced_event(namespace).items]
    assert f"Created pod: {pod.metadata.name}" in messages


def test_a_watch_of_logs_yields_their_lines(core: Any, batch: Any, namespace: str) -> None:
    batch.create_namespaced_job(namespace, job("lines", "echo one; echo two"))
    wait_until(
        lambda: batch.read_namespaced_job("lines", namespace).status.succeeded == 1, WAIT_S, what="the Job's success"
    )
    (pod,) = core.list_namespaced_pod(namespace).items
    stream = official.watch.Watch().stream(core.read_namespaced_pod_log, pod.metadata.name, namespace)
    assert list(stream) == ["one", "two"]


def test_documents_are_created_from_dicts_and_files(client: Any, core: Any, namespace: str, tmp_path: Path) -> None:
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    official.utils.create_from_dict(client, config, namespace=namespace)
    file = tmp_path / "b.yaml"
    file.write_text(yaml.safe_dump({**config, "metadata": {"name": "b"}}))
    official.utils.create_from_yaml(client, str(file), namespace=namespace)
    assert [each.metadata.name for each in core.list_namespaced_config_map(namespace).items] == ["a", "b"]
    with pytest.raises(official.utils.FailToCreateError, match="already exists"):
        official.utils.create_from_dict(client, config, namespace=namespace)


def test_objects_are_replaced_patched_and_deleted_by_their_models(core: Any, namespace: str) -> None:
    config = models.V1ConfigMap(metadata=models.V1ObjectMeta(name="c"), data={"a": "1"})
    first = core.create_namespaced_config_map(namespace, config)
    first.data["b"] = "2"
    second = core.replace_namespaced_config_map("c", namespace, first)
    assert second.data == {"a": "1", "b": "2"}
    with pytest.raises(exceptions.ApiException) as conflict:
        core.replace_namespaced_config_map("c", namespace, first)
    assert (conflict.value.status, conflict.value.reason) == (409, "Conflict")
    third = core.patch_namespaced_config_map("c", namespace, {"data": {"a": None}})
    assert third.data == {"b": "2"}
    done = core.delete_namespaced_config_map("c", namespace)
    assert done["status"] == "Success"
    with pytest.raises(exceptions.ApiException) as gone:
        core.read_namespaced_config_map("c", namespace)
    assert gone.value.status == 404


def test_lists_come_in_pages(core: Any, namespace: str) -> None:
    for number in range(5):
        config = models.V1ConfigMap(metadata=models.V1ObjectMeta(name=f"c{number}"))
        core.create_namespaced_config_map(namespace, config)
    names, token = [], None
    while token != "":
        page = core.list_namespaced_config_map(namespace, limit=2, _continue=token)
        names += [each.metadata.name for each in page.items]
        token = page.metadata._continue or ""
    assert names == ["c0", "c1", "c2", "c3", "c4"]


def test_the_dynamic_client_finds_kinds_by_discovery(client: Any, namespace: str) -> None:
    configs = official.dynamic.DynamicClient(client).resources.get(api_version="v1", kind="ConfigMap")
    configs.create(body={"metadata": {"name": "d"}, "data": {"a": "b"}}, namespace=namespace)
    assert configs.get(name="d", namespace=namespace).data.to_dict() == {"a": "b"}


def test_versions_and_rights_are_told(client: Any) -> None:
    assert "+lando-" in models.VersionApi(client).get_code().git_version
    wish = models.V1ResourceAttributes(verb="delete", resource="pods", namespace="default")
    review = models.V1SelfSubjectAccessReview(spec=models.V1SelfSubjectAccessReviewSpec(resource_attributes=wish))
    answer = models.AuthorizationV1Api(client).create_self_subject_access_review(review)
    assert answer.status.allowed is True
    rules = models.V1SelfSubjectRulesReview(spec=models.V1SelfSubjectRulesReviewSpec(namespace="default"))
    told = models.AuthorizationV1Api(client).create_self_subject_rules_review(rules)
    assert told.status.resource_rules[0].verbs == ["*"]
