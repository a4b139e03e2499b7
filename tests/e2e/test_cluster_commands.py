"""``lando cluster up``, ``status`` and ``down``, and what a cluster that was killed has kept."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import wait_until

END_S = 30.0


@pytest.fixture
def ended(lando: Any) -> Any:
    """Commands whose cluster, if one still runs, is stopped afterwards."""
    yield lando
    lando("cluster", "down")


def client(lando: Any) -> KubernetesApi:
    report = lando.json("cluster", "status")
    kubeconfig = Path(report["kubeconfig"])
    return KubernetesApi.from_kubeconfig(kubeconfig, kubeconfig.parent, report["namespace"])


def job(script: str) -> dict[str, Any]:
    container = {"name": "main", "image": "none", "command": ["sh", "-c", script]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {"metadata": {"name": "marked"}, "spec": {"backoffLimit": 0, "template": template}}


def test_up_status_and_down(ended: Any) -> None:
    lando = ended
    assert lando("cluster", "status").stdout == "No cluster runs.\n"
    assert lando("cluster", "status").returncode == 1
    up = lando("cluster", "up", "--detach", "--user", "ada:team-a", "--user", "grace")
    assert up.returncode == 0, up.stderr
    first, ada, grace = up.stdout.splitlines()
    assert first.startswith("The cluster is up at https://127.0.0.1:")
    assert ada == f"As ada (in team-a): export KUBECONFIG={lando.home}/cluster/users/ada/kubeconfig"
    assert grace.startswith("As grace (in all namespaces): export KUBECONFIG=")

    report = lando.json("cluster", "status")
    assert report["running"] is True
    assert report["url"] in first
    assert report["users"] == {"ada": ["team-a"], "grace": None}
    assert report["objects"]["namespaces"] == 3
    said = lando("cluster", "status").stdout
    assert "user        ada: team-a" in said
    assert (lando.home / "cluster" / "token").read_text().strip() not in said

    again = lando("cluster", "up", "--detach")
    assert again.returncode == 2
    assert again.stderr.startswith("lando: another process runs the embedded cluster in")

    down = lando("cluster", "down")
    assert (down.returncode, down.stdout) == (0, "The cluster has stopped.\n")
    assert lando("cluster", "down").stdout == "No cluster runs.\n"


def test_a_killed_cluster_runs_nothing_twice_and_loses_nothing(ended: Any, tmp_path: Path) -> None:
    lando, marks = ended, tmp_path / "marks"
    process = lando.start("cluster", "up")
    process.stdout.readline()
    api = client(lando)
    api.create("jobs", job(f"echo started >> '{marks}'; sleep 300"))
    wait_until(marks.exists, END_S, what="the pod's start")
    before = api.get("jobs", "marked").body["metadata"]["uid"]
    api.session.close()
    process.send_signal(signal.SIGKILL)
    process.wait(END_S)
    assert lando("cluster", "status").returncode == 1

    assert lando("cluster", "up", "--detach").returncode == 0
    api = client(lando)

    def failed() -> bool:
        found = api.get("jobs", "marked").body["status"].get("conditions", [])
        return any(each["type"] == "Failed" and each["status"] == "True" for each in found)

    wait_until(failed, END_S, what="the Job's failure")
    assert api.get("jobs", "marked").body["metadata"]["uid"] == before
    (pod,) = api.list("pods").body["items"]
    assert pod["status"]["reason"] == "Terminated"  # by the node, not by what ran in it
    api.session.close()
    assert marks.read_text() == "started\n"
    began = time.monotonic()
    assert lando("cluster", "down").returncode == 0
    assert time.monotonic() - began < END_S


def test_the_cluster_of_a_stack_is_stopped_with_the_stack_only(stack: Any) -> None:
    refused = stack("cluster", "down")
    assert refused.returncode == 2
    assert refused.stderr.startswith("lando: The cluster is a part of `lando up` (process ")
    assert stack.json("cluster", "status")["running"] is True
