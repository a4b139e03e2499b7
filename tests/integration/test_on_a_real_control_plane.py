"""The same daemons against a real kube-apiserver and its controllers, with the accounts that openshift/ ships.

The cluster's pods have to end by themselves with status 0 (a stand-in for a kubelet sees to that), so no step does real
work: what is proven is that a real API takes every object and every call, with no more rights than the manifests give.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, watch
from lando.api import models as m
from lando.api.database import Database
from lando.api.setup import EMBEDDED_IMAGE
from sqlalchemy import select
from tests.services.providing import wait_until
from tests.services.rabbitmq import RabbitMQ
from tests.services.stack import Stack
from tests.services.user import User

pytestmark = [pytest.mark.service("kubernetes"), pytest.mark.service("rabbitmq"), pytest.mark.timeout(300)]

ACCOUNTS = {"lando": "lando", "watcher": "lando-watcher"}
RBAC = Path(__file__).parents[2] / "openshift" / "runs" / "accounts.yaml"
IDS = {"project_id": "project-of-a-record-step", "readme_file_id": "readme-of-a-record-step"}


@pytest.fixture
def admin(kubeconfig: Path) -> Iterator[client.ApiClient]:
    """An administrator of the real cluster."""
    with config.new_client_from_config(str(kubeconfig)) as api:
        yield api


@pytest.fixture
def place(admin: client.ApiClient, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A namespace of the test's own with the shipped accounts, and a token of each."""
    core, rbac = client.CoreV1Api(admin), client.RbacAuthorizationV1Api(admin)
    namespace = f"lando-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": namespace}})
    create = {
        "ServiceAccount": core.create_namespaced_service_account,
        "Role": rbac.create_namespaced_role,
        "RoleBinding": rbac.create_namespaced_role_binding,
    }
    for document in yaml.safe_load_all(RBAC.read_text()):
        create[document["kind"]](namespace, document)
    wanted = {"spec": {"audiences": None, "expirationSeconds": 3600}}
    files = {}
    for daemon, account in ACCOUNTS.items():
        answer = core.create_namespaced_service_account_token(account, namespace, wanted)
        files[daemon] = tmp_path / f"{daemon}.token"
        files[daemon].write_text(answer.status.token)
    yield {
        "url": admin.configuration.host,
        "ca_file": admin.configuration.ssl_ca_cert,
        "namespace": namespace,
        "token_files": files,
    }
    core.delete_namespace(namespace)


@pytest.fixture
def stack(tmp_path: Path, rabbitmq: RabbitMQ, queue_name: str, place: dict[str, Any]) -> Iterator[Stack]:
    with Stack(tmp_path, rabbitmq.url, queue_name) as running:
        running.cluster = place
        _add_record_step(tmp_path / "home" / "lando.db")
        running.start()
        yield running


def _add_record_step(file: Path) -> None:
    database = Database(f"sqlite:///{file}")
    try:
        with database.write() as session:
            runtime = session.scalars(select(m.JobRuntime)).one()
            flavor = session.scalars(select(m.JobFlavor)).first()
            assert flavor is not None
            session.add(
                m.JobRuntimeStep(
                    runtime_id=runtime.id,
                    flavor_id=flavor.id,
                    step_type="record_output_project",
                    image_name=EMBEDDED_IMAGE,
                    base_command=[],
                )
            )
    finally:
        database.close()


def annotate_record_pods(admin: client.ApiClient, namespace: str, stop: threading.Event) -> None:
    """What the record step's script does in a site of the original: note the ids on its own pod."""
    core, stream = client.CoreV1Api(admin), watch.Watch()
    selector = "bespin-job-step=record_output_project"
    while not stop.is_set():
        for event in stream.stream(core.list_namespaced_pod, namespace, label_selector=selector, timeout_seconds=2):
            pod = event["object"]
            if event["type"] == "ADDED" and "project_id" not in (pod.metadata.annotations or {}):
                core.patch_namespaced_pod(pod.metadata.name, namespace, {"metadata": {"annotations": IDS}})


def test_a_job_runs_through_all_five_steps_of_a_site_of_the_original(
    user: User, stack: Stack, admin: client.ApiClient, place: dict[str, Any]
) -> None:
    stop = threading.Event()
    recorder = threading.Thread(target=annotate_record_pods, args=(admin, place["namespace"], stop))
    recorder.start()
    try:
        job = user.create_job("failing")  # no tool runs: only the Jobs do
        user.act(job, "start")
        ended = user.wait_for_end(job, timeout_s=150)
    finally:
        stop.set()
        recorder.join()

    for daemon in ("lando", "watcher"):
        doctor = stack.command("doctor", str(stack.config_file(daemon)), "--daemon", daemon, check=False)
        assert (doctor.returncode, " failed " in doctor.stdout) == (0, False), doctor.stdout
    assert (ended["state"], ended["job_errors"]) == ("F", [])
    assert ended["output_project"]["project_id"] == IDS["project_id"]
    core, batch = client.CoreV1Api(admin), client.BatchV1Api(admin)
    wait_until(
        lambda: (
            not (
                batch.list_namespaced_job(place["namespace"]).items
                or core.list_namespaced_persistent_volume_claim(place["namespace"]).items
                or [
                    one
                    for one in core.list_namespaced_config_map(place["namespace"]).items
                    if one.metadata.name != "kube-root-ca.crt"
                ]
            )
        ),
        60,
        what="the removal of the finished job's objects",
    )
    assert " 403" not in stack.log("lando")
    assert "forbidden" not in stack.log("lando") + stack.log("watcher")


def test_a_canceled_job_leaves_nothing_on_a_real_cluster(
    user: User, stack: Stack, admin: client.ApiClient, place: dict[str, Any]
) -> None:
    job = user.create_job("failing")
    user.act(job, "start")
    user.wait(job, lambda document: document["step"] == "R", timeout_s=120)

    user.act(job, "cancel")
    user.wait(job, lambda document: document["state"] == "C")

    batch = client.BatchV1Api(admin)
    wait_until(lambda: not batch.list_namespaced_job(place["namespace"]).items, 60, what="the removal of all Jobs")
