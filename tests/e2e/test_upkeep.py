"""``lando resync`` and ``lando prune`` as an operator types them, on the ``lando up`` of this home."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from lando.config import ClusterSettings
from lando.errors import NotFound
from lando.k8s.cluster import KubernetesCluster
from lando.local.presence import find

SLEEP = Path(__file__).parents[2] / "examples" / "sleep"
FAILS = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [python3, -c, "raise SystemExit(3)"]
inputs: {}
outputs: {}
"""

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def cluster(stack: Any) -> KubernetesCluster:
    """The cluster of the stack, as its administrator."""
    folder = stack.home / "cluster"
    presence = find(folder)
    assert presence is not None
    token = (folder / "token").read_text().strip()
    ca_file = str(folder / "ca.crt")
    assert ssl.create_default_context(cafile=ca_file)
    return KubernetesCluster(
        ClusterSettings(namespace=presence.namespace, host=presence.url, token=token, ssl_ca_cert=ca_file)
    )


def config_map(run_id: int) -> dict[str, Any]:
    metadata = {"name": f"left-{run_id}", "labels": {"bespin-job": "true", "bespin-job-id": str(run_id)}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def test_what_belongs_to_no_run_is_shown_and_stays(stack: Any, cluster: KubernetesCluster) -> None:
    cluster.create(config_map(4711))
    (found,) = stack.json("resync", "--dry-run")
    assert (found["run"], found["state"], found["trouble"], found["mended_by_a_look"]) == (4711, None, "unknown", False)
    said = stack("resync")
    assert said.returncode == 0, said.stderr
    heading, line, last = said.stdout.splitlines()
    assert heading.split() == ["RUN", "STATE", "WHAT", "IS", "WRONG", "WHAT", "WILL", "BE", "DONE"]
    assert line.startswith("4711  unknown  The API knows no such run, and yet there is 1 ConfigMap.")
    assert last == "The daemon was asked to look at 0 runs."
    cluster.delete("ConfigMap", "left-4711")  # it was left alone
    assert stack("resync").stdout == "Everything fits: no run needs anything.\n"


def test_objects_of_no_run_go_when_they_are_named(stack: Any, cluster: KubernetesCluster) -> None:
    cluster.create(config_map(4712))
    (left,) = stack.json("prune", "--unknown", "4712", "--dry-run")
    assert (left["run"], left["where"], left["what"]) == (4712, "cluster", "1 ConfigMap")
    said = stack("prune", "--unknown", "4712")
    assert said.stdout.splitlines()[-1].startswith("1 run with 0 bytes of volumes and 0 bytes of logs: removed"), said
    with pytest.raises(NotFound):
        cluster.get("ConfigMap", "left-4712")


def test_logs_of_a_run_go_when_they_are_old_enough(stack: Any, tmp_path: Path) -> None:
    order = tmp_path / "order.yaml"
    order.write_text("seconds: 0\n")
    run_id = stack.submit(SLEEP / "workflow.cwl", order, "--wait")
    assert stack("prune").stdout == "Nothing is to be removed.\n", "they are kept for a year"
    assert [one["run"] for one in stack.json("prune", "--dry-run", "--older-than", "0min")] == [run_id]
    assert "sleep" in stack("logs", run_id).stdout
    (gone,) = stack.json("prune", "--older-than", "0min")
    assert (gone["state"], gone["where"], gone["bytes"] > 0) == ("Finished", "archive", True)
    assert stack("logs", run_id).stdout == ""
    known = stack("prune", "--unknown", run_id)
    assert (known.returncode, "is known to the API as Finished" in known.stderr) == (2, True)


def test_what_a_failed_run_keeps_is_no_finding_and_goes_when_it_is_asked_for(stack: Any, tmp_path: Path) -> None:
    (tmp_path / "fails.cwl").write_text(FAILS)
    (tmp_path / "order.yaml").write_text("{}\n")
    run_id = stack.submit(tmp_path / "fails.cwl", tmp_path / "order.yaml")
    stack.until(run_id, lambda run: run["state"] == "Error" and run["cause"])

    def kept(*options: str) -> dict[str, Any]:
        """What of this run may go now."""
        (one,) = [one for one in stack.json("prune", "--older-than", "0min", *options) if one["run"] == run_id]
        return dict(one)

    assert stack.json("resync") == []
    objects = kept()
    assert (objects["state"], objects["where"]) == ("Error", "cluster")
    assert "2 volumes, the run record" in objects["what"]
    assert objects["bytes"] > 0
    while kept("--dry-run")["where"] == "cluster":  # the daemon is at it; the test's own limit of time ends this
        pass
    assert "exited with 3" in stack("status", run_id).stdout
    assert stack("restart", run_id, "--wait").returncode == 1, "it begins again with its first step"
    assert "exited with 3" in stack("status", run_id).stdout


def test_an_age_that_is_none_is_refused(stack: Any) -> None:
    said = stack("prune", "--older-than", "long")
    assert (said.returncode, said.stderr) == (
        2,
        "lando: 'long' is no length of time; write 30d, 12h or 45min.\n",
    )


def test_a_file_whose_queue_is_in_another_process_is_refused(stack: Any, tmp_path: Path) -> None:
    file = tmp_path / "k8s.config"
    file.write_text(
        "work_queue: {url: memory://lando, listen_queue: lando}\n"
        'cluster_api_settings: {host: "https://127.0.0.1:9", token: x, namespace: here}\n'
        "bespin_api: {url: http://127.0.0.1:9/api/v2, token: y}\n"
    )
    said = stack("resync", file)
    assert said.returncode == 2
    assert "ask its server instead of its file" in said.stderr
    assert "Traceback" not in said.stderr


def test_what_is_away_is_named(lando: Any, tmp_path: Path) -> None:
    file = tmp_path / "k8s.config"
    file.write_text(
        "work_queue: {url: amqp://127.0.0.1:9/, listen_queue: lando}\n"
        'cluster_api_settings: {host: "https://127.0.0.1:9", token: x, namespace: here}\n'
        "bespin_api: {url: http://127.0.0.1:9/api/v2, token: y}\n"
    )
    said = lando("resync", file)
    assert said.returncode == 3
    assert f"lando: The cluster of {file} can't be asked: " in said.stderr
    assert "Traceback" not in said.stderr
