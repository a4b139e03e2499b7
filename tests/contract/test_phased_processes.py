"""The commands of phased runs as processes: the original's own example, SIGKILLs, and two at once.

``LANDO_PHASES_KILLS`` and ``LANDO_PHASES_SEED`` ask for more kills, and at other moments.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from lando.config import ClusterSettings
from lando.k8s.cluster import KubernetesCluster
from lando.phases.files import Folder
from lando.phases.reading import read
from tests.services.kubernetes_api import KubernetesApi
from tests.services.phased import MODEL_FILE, History, faults, random_files, read_files
from tests.services.phased_process import RUN, PhasedProcess, kubeconfig_of, put
from tests.services.providing import wait_until
from tests.services.workloads import job, notes

EXAMPLES = Path(__file__).parents[2] / "examples" / "phases"
SEED = int(os.environ.get("LANDO_PHASES_SEED", "1"))
KILLS = int(os.environ.get("LANDO_PHASES_KILLS", "2"))
PATIENCE_S = 60.0


def client(api: KubernetesApi) -> KubernetesCluster:
    token = str(api.session.headers["Authorization"]).partition(" ")[2]
    return KubernetesCluster(
        ClusterSettings(namespace=api.namespace, host=api.url, token=token, ssl_ca_cert=str(api.ca_file))
    )


@pytest.fixture
def cluster(api: KubernetesApi) -> Iterator[KubernetesCluster]:
    with client(api) as cluster:
        yield cluster


def test_a_run_that_is_killed_again_and_again_makes_every_job_once(
    api: KubernetesApi, cluster: KubernetesCluster, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    files = random_files(chance, 8 * (KILLS + 1), phases=3, namespace=api.namespace, parallelization=5)
    model = read_files(files)
    put(files, tmp_path)
    kubeconfig = kubeconfig_of(api, tmp_path / "kubeconfig")
    kills = 0
    with History(cluster) as history:
        while True:
            with PhasedProcess(tmp_path, kubeconfig) as life:
                goal = len(history.of("made")) + chance.randint(1, 7)
                wait_until(partial(_has_made, history, goal, life), PATIENCE_S, what="the next Jobs")
                if kills == KILLS:
                    assert life.wait() == 0, life.log
                    break
                life.kill()
                kills += 1
        history.wait_for_all(model)
    assert faults(model, history.moments) == []


def _has_made(history: History, jobs: int, life: PhasedProcess) -> bool:
    """Or has ended."""
    return len(history.of("made")) >= jobs or life.process.poll() is not None


def test_of_two_runs_at_once_one_is_refused_with_a_sentence(
    api: KubernetesApi, cluster: KubernetesCluster, tmp_path: Path
) -> None:
    endless = {"apiVersion": "batch/v1", "kind": "Job", **job("endless", "sleep 600", notes("Running"))}
    document = {
        "jobernetes_config": {"kubernetes_namespace": api.namespace},
        "jobernetes": [{"phase_name": "only", "jobs": [{"name": "wait", "job_path": "endless.json"}]}],
    }
    put({MODEL_FILE: json.dumps(document), "endless.json": json.dumps(endless)}, tmp_path)
    kubeconfig = kubeconfig_of(api, tmp_path / "kubeconfig")
    with History(cluster) as history, PhasedProcess(tmp_path, kubeconfig) as first:
        wait_until(lambda: history.of("made") == ["endless"], PATIENCE_S, what="the first run's Job")
        with PhasedProcess(tmp_path, kubeconfig) as second:
            assert second.wait() == 1, second.log
        assert f"process {first.process.pid}" in second.log
        assert "wait for its end, or stop it; nothing was created." in second.log
        assert first.terminate() == 143
        said = len(first.log)
        with PhasedProcess(tmp_path, kubeconfig) as third:
            wait_until(lambda: "endless" in third.log[said:], PATIENCE_S, what="a word of what it found")
            assert third.terminate() == 143
    assert history.of("made") == ["endless"]


@pytest.fixture
def quick_sleep(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Where programs run for real, let ``sleep`` take a twentieth of its time."""
    if "embedded" not in request.node.callspec.id:
        yield
        return
    home: Path = request.getfixturevalue("embedded_cluster").home
    program = tmp_path / "bin" / "sleep"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nexec /bin/sleep "$(awk "BEGIN { print $1 / 20 }")"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    table = home / "images.yaml"
    table.write_text(json.dumps({"images": [{"pattern": "busybox:*", "env": {"PATH": path}}]}))
    yield
    table.unlink()


@pytest.mark.usefixtures("quick_sleep")
def test_the_example_of_the_original_runs_as_it_is(any_cluster: KubernetesApi, tmp_path: Path) -> None:
    kubeconfig = kubeconfig_of(any_cluster, tmp_path / "kubeconfig")
    # One after the other: the example says that it runs in the namespace default.
    for command, model_file in ((RUN, "advanced.yaml"), (("jobernetes",), MODEL_FILE)):
        folder = tmp_path / command[0]
        shutil.copytree(EXAMPLES, folder)
        (folder / model_file).replace(folder / MODEL_FILE)
        model, _ = read(Folder(folder), MODEL_FILE)
        assert model is not None
        names = [one.name for one in model.jobs()]
        with client(any_cluster) as cluster, History(cluster) as history:
            with PhasedProcess(folder, kubeconfig, command) as process:
                assert process.wait() == 0, process.log
            history.wait_for_all(model)
            wait_until(partial(_are_gone, history, names), PATIENCE_S, what="the cleanup")
            assert faults(model, [moment for moment in history.moments if moment.what != "gone"]) == []
            wait_until(partial(_has_no_pods, cluster, names), PATIENCE_S, what="the end of the pods")


def _are_gone(history: History, jobs: list[str]) -> bool:
    return sorted(history.of("gone")) == sorted(jobs)


def _has_no_pods(cluster: KubernetesCluster, jobs: list[str]) -> bool:
    return not cluster.list("Pod", f"job-name in ({','.join(jobs)})")
