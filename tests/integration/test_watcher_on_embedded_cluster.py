"""Real Jobs on the embedded cluster, watched for real: the right message for each end, on a queue in memory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from lando import labels, queues
from lando.config import BespinApiSettings, ClusterSettings, Config, LandoApiSettings, WorkQueueSettings
from lando.k8s.cluster import KubernetesCluster
from lando.k8s.watcher import Watcher
from lando.local.cluster import LocalCluster
from lando.local.controllers.scheduler import NodeCapacity
from lando.queues import Delivery

PATIENCE_S = 2
TIMEOUT_S = 30.0

Made = dict[str, Any]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    capacity = NodeCapacity(cpus=Decimal(8), memory=Decimal(8 * 2**30))
    with LocalCluster(tmp_path_factory.mktemp("cluster"), sandbox="substitute", capacity=capacity) as local:
        yield local


def _config(local: LocalCluster) -> Config:
    return Config(
        work_queue=WorkQueueSettings(listen_queue="lando", url="memory://lando"),
        cluster_api_settings=ClusterSettings(
            namespace=local.namespace, host=local.url, token=local.token, ssl_ca_cert=str(local.ca_file)
        ),
        bespin_api=BespinApiSettings(url="http://127.0.0.1:1/api/v2", token="t"),
        lando_api=LandoApiSettings(url="http://127.0.0.1:1/api/lando/v1", token="t"),
        patience_s=PATIENCE_S,
    )


@pytest.fixture(scope="module")
def config(local: LocalCluster) -> Config:
    return _config(local)


@pytest.fixture(scope="module")
def cluster(config: Config) -> Iterator[KubernetesCluster]:
    with KubernetesCluster(config.cluster_api_settings) as cluster:
        yield cluster


class Heard:
    """Everything the watcher has said, by the run's id."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._messages: list[Made] = []

    def take(self, delivery: Delivery) -> None:
        with self._changed:
            self._messages.append(json.loads(delivery.body))
            self._changed.notify_all()
        delivery.ack()

    def of(self, run: int) -> list[Made]:
        with self._changed:
            return [message["evidence"] for message in self._messages if message["job_id"] == run]

    def wait_for(self, run: int, condition: str) -> Made:
        def found() -> Made | None:
            return next((evidence for evidence in self.of(run) if evidence["condition"] == condition), None)

        with self._changed:
            assert self._changed.wait_for(found, TIMEOUT_S), f"heard only {self.of(run)}"
        evidence = found()
        assert evidence is not None
        return evidence


@contextlib.contextmanager
def watching(config: Config, cluster: KubernetesCluster) -> Iterator[Heard]:
    """A watcher at work, and what it says to a queue of its own."""
    heard, stop = Heard(), threading.Event()
    queue = dataclasses.replace(config.work_queue, url=f"memory://{uuid.uuid4()}")
    watcher = Watcher(config, cluster=cluster, publisher=queues.publisher(queue))
    consumer = queues.consumer(queue, prefetch=10)
    threads = [
        threading.Thread(target=watcher.run, args=(stop,), daemon=True),
        threading.Thread(target=consumer.run, args=(heard.take, stop), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        yield heard
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


@pytest.fixture(scope="module")
def heard(config: Config, cluster: KubernetesCluster) -> Iterator[Heard]:
    with watching(config, cluster) as heard:
        yield heard


def step_job(run: int, script: str | None, *, image: str = "lando-steps:local", **more: Any) -> Made:
    """A Job of one pod that runs ``script`` by the shell."""
    own = {labels.BESPIN_JOB: "true", labels.BESPIN_JOB_ID: str(run), labels.BESPIN_JOB_STEP: "run_workflow"}
    container: Made = {"name": "main", "image": image, "resources": more.pop("resources", {})}
    if script is not None:
        container["command"] = ["sh", "-c", script]
    container.update(more.pop("container", {}))
    pod = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": f"run-workflow-{run}-ada", "labels": own},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": own}, "spec": pod}, **more},
    }


@pytest.fixture
def submit(cluster: KubernetesCluster) -> Callable[..., Made]:
    return lambda *args, **more: cluster.create(step_job(*args, **more))


def test_a_job_that_succeeds_is_told_complete_with_what_it_left(heard: Heard, submit: Any) -> None:
    made = submit(1, """echo '{"project_id": "p1"}' > "${LANDO_TERMINATION_LOG:-/dev/termination-log}" """)

    said = heard.wait_for(1, "Complete")
    assert said["uid"] == made["metadata"]["uid"]
    assert said["termination_message"] == {"project_id": "p1"}
    assert [evidence["condition"] for evidence in heard.of(1)] == ["Complete"]


def test_a_job_that_exits_3_is_told_failed_with_its_log(heard: Heard, submit: Any) -> None:
    submit(2, "echo tool 1 of 2; echo no such sample >&2; exit 3")

    said = heard.wait_for(2, "Failed")
    assert (said["category"], said["exit_code"]) == ("user", 3)
    assert "exit code 3" in said["cause"]
    assert "no such sample" in said["log_tail"]


def test_a_cause_the_step_gives_itself_is_passed_on(heard: Heard, submit: Any) -> None:
    cause = {"category": "user", "sentence": "a.fastq answers 404.", "advice": "Check its address."}
    document = json.dumps({"cause": cause})
    submit(3, f"""echo '{document}' > "${{LANDO_TERMINATION_LOG:-/dev/termination-log}}"; exit 1""")

    said = heard.wait_for(3, "Failed")
    assert (said["category"], said["cause"]) == ("user", "a.fastq answers 404. Check its address.")


def test_an_unknown_image_is_told_at_once_in_the_nodes_words(heard: Heard, submit: Any) -> None:
    submit(4, None, image="registry.example/nobody/nothing:9")

    said = heard.wait_for(4, "Failed")
    assert said["category"] == "image"
    assert "registry.example/nobody/nothing:9" in said["cause"]
    assert "images.yaml" in said["cause"]


def test_too_much_memory_is_waited_for_and_then_told_in_the_schedulers_words(
    heard: Heard, submit: Any, cluster: KubernetesCluster
) -> None:
    submit(5, "true", resources={"requests": {"memory": "64Gi"}})

    said = heard.wait_for(5, "Failed")
    assert said["category"] == "resources"
    assert "Insufficient memory" in said["cause"]


def test_a_job_deleted_by_hand_is_told_gone(heard: Heard, submit: Any, cluster: KubernetesCluster) -> None:
    made = submit(6, "sleep 60")
    cluster.delete("Job", made["metadata"]["name"], uid=made["metadata"]["uid"])

    said = heard.wait_for(6, "Gone")
    assert (said["uid"], said["category"]) == (made["metadata"]["uid"], "infrastructure")


def test_a_pod_deleted_by_hand_is_the_infrastructures_doing(
    heard: Heard, submit: Any, cluster: KubernetesCluster
) -> None:
    submit(7, "sleep 60")
    pod = _running_pod(cluster, 7)
    cluster.delete("Pod", pod)

    said = heard.wait_for(7, "Failed")
    assert said["category"] == "infrastructure"


def test_a_deadline_is_told_with_its_seconds(heard: Heard, submit: Any) -> None:
    submit(8, "sleep 60", activeDeadlineSeconds=1)

    said = heard.wait_for(8, "Failed")
    assert said["category"] == "resources"
    assert "deadline of 1 s" in said["cause"]


def test_a_program_that_is_not_there_is_told(heard: Heard, submit: Any) -> None:
    submit(9, None, container={"command": ["no-such-program-anywhere"]})

    said = heard.wait_for(9, "Failed")
    assert said["category"] == "image"
    assert "no-such-program-anywhere" in said["cause"]


def test_a_missing_config_map_is_waited_for_and_then_told_by_name(heard: Heard, submit: Any) -> None:
    variable = {"name": "X", "valueFrom": {"configMapKeyRef": {"name": "not-there", "key": "k"}}}
    submit(10, "true", container={"env": [variable]})

    said = heard.wait_for(10, "Failed")
    assert said["category"] == "infrastructure"
    assert "not-there" in said["cause"]


def test_after_a_restart_an_unfinished_runs_outcome_is_said_again(
    heard: Heard, submit: Any, config: Config, cluster: KubernetesCluster
) -> None:
    submit(11, "exit 4")
    heard.wait_for(11, "Failed")

    with watching(config, cluster) as again:
        assert again.wait_for(11, "Failed")["exit_code"] == 4


def test_a_cluster_that_was_away_is_watched_again(tmp_path: Path) -> None:
    with LocalCluster(tmp_path, sandbox="substitute") as first:
        config = _config(first)
        with KubernetesCluster(config.cluster_api_settings) as cluster, watching(config, cluster) as heard:
            cluster.create(step_job(1, "exit 5"))
            heard.wait_for(1, "Failed")
            first.stop()
            with LocalCluster(tmp_path, sandbox="substitute") as second:
                assert second.url == first.url
                cluster.create(step_job(2, "exit 6"))
                assert heard.wait_for(2, "Failed")["exit_code"] == 6
            assert [evidence["condition"] for evidence in heard.of(1)] == ["Failed"]


def _running_pod(cluster: KubernetesCluster, run: int) -> str:
    """The name of the run's pod, once it runs."""
    selector = f"{labels.BESPIN_JOB_ID}={run}"
    page = cluster.list_page("Pod", selector)
    for pod in page.items:
        if pod["status"].get("phase") == "Running":
            return str(pod["metadata"]["name"])
    with contextlib.closing(cluster.watch("Pod", selector, page.resource_version, timeout_s=int(TIMEOUT_S))) as watch:
        for event in watch:
            if event["type"] != "BOOKMARK" and event["object"]["status"].get("phase") == "Running":
                return str(event["object"]["metadata"]["name"])
    raise AssertionError("the pod never ran")
