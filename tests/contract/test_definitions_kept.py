"""Jobs of definitions that somebody else deletes, or that go by themselves, are kept by a server that follows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from lando.archive import Archive
from lando.config import ClusterSettings
from lando.definitions.served.service import Service
from lando.definitions.server import create_app
from lando.k8s.cluster import KubernetesCluster
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until
from tests.services.workloads import job, notes

WAIT_S = 60
LABELS = {"app.kubernetes.io/managed-by": "ours"}
SCRIPT = "echo begun; sleep 600"
PLAYED = notes(log="begun\n", duration_s=600)


@pytest.fixture
def service(api: KubernetesApi, tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "definitions").write_text("[]")
    token = str(api.session.headers["Authorization"]).partition(" ")[2]
    settings = ClusterSettings(namespace=api.namespace, host=api.url, token=token, ssl_ca_cert=str(api.ca_file))
    archive = Archive(str(tmp_path / "archive"))
    with KubernetesCluster(settings) as cluster:
        service = Service(
            cluster, str(tmp_path / "definitions"), signature="ours", retention_s=3600, kept_s=None, archive=archive
        )
        with service:
            yield service


@pytest.fixture
def server(service: Service) -> TestClient:
    return TestClient(create_app(service.manager_for("1", "ada", knows_all=True), lambda request: None))


def make(api: KubernetesApi, name: str, script: str, played: dict[str, str], **spec: Any) -> None:
    made = job(name, script, played, **spec)
    made["metadata"]["labels"] = LABELS
    assert api.create("jobs", made).code == 201


def kept(server: TestClient, name: str) -> dict[str, Any]:
    """What is told of the Job when it is in the archive."""

    def is_kept() -> bool:
        answer = server.get(f"/jobs/{name}")
        told = answer.json()
        return answer.status_code == 200 and bool(told["kept"]) and "still being kept" not in (told["lost"] or "")

    wait_until(is_kept, WAIT_S, what=f"the keeping of {name}")
    found: dict[str, Any] = server.get(f"/jobs/{name}").json()
    return found


def logs(server: TestClient, name: str) -> list[Any]:
    return [lines for containers in server.get(f"/jobs/{name}/logs").json().values() for lines in containers.values()]


def test_jobs_deleted_at_work_are_kept_with_what_they_said(server: TestClient, api: KubernetesApi) -> None:
    ways = {"Background": "in-background", "Foreground": "in-foreground"}
    for name in ways.values():
        make(api, name, SCRIPT, PLAYED)
    for name in ways.values():
        wait_until(lambda name=name: logs(server, name) == [["begun", ""]], WAIT_S, what="a line")  # type: ignore[misc]

    for how, name in ways.items():
        reply = api.call(
            "DELETE",
            f"/apis/batch/v1/namespaces/{api.namespace}/jobs/{name}",
            {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": how},
        )
        assert reply.code in (200, 202), reply.body

    for name in ways.values():
        told = kept(server, name)
        assert told["state"] == "Failed"
        assert told["cause"]["sentence"] == f"Job {name} was deleted before it had ended."
        assert told["cause"]["advice"].startswith("This server did not do it")
        said = [lines[0] for lines in logs(server, name)]  # its pod may have been faster than the watch
        assert said == ["begun"] if told["lost"] is None else "read" in told["lost"], (said, told["lost"])


def test_a_job_that_goes_at_its_end_is_kept_as_it_ended(server: TestClient, api: KubernetesApi) -> None:
    make(api, "good", "true", notes(), ttlSecondsAfterFinished=0)
    make(api, "bad", "exit 3", notes("Failed:3"), ttlSecondsAfterFinished=0)

    assert kept(server, "good")["state"] == "Complete"
    told = kept(server, "bad")
    assert told["state"] == "Failed"
    assert told["cause"]["exit_code"] == 3 or "its pods were gone" in told["cause"]["sentence"]
