"""A real Kubernetes for tests: ``LANDO_TEST_KUBECONFIG``, else ``LANDO_TEST_CONTROL_PLANE``, else K3s in a container.

``LANDO_TEST_CONTROL_PLANE`` names a folder with the programs ``control-plane`` (``up FOLDER`` prints the path of a
kubeconfig, ``down FOLDER`` ends it) and ``fake-kubelet.py`` (``--kubeconfig FILE`` plays the pods as their annotations
``test.lando/*`` say). They are started for the session, with old versions forgotten after seconds.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.services.providing import docker_answers, end_group, missing, start_group, wait_until

HOW_TO_GET_IT = "name a kubeconfig in LANDO_TEST_KUBECONFIG, or have a docker engine for K3s"
IMAGE = "rancher/k3s:v1.31.5-k3s1"
START_TIMEOUT_S = 180.0
FORGETFUL = "--etcd-compaction-interval=3s"


def is_to_be_had() -> bool:
    """Whether :func:`kubeconfig` would not skip."""
    named = os.environ.get("LANDO_TEST_KUBECONFIG") or os.environ.get("LANDO_TEST_CONTROL_PLANE")
    return bool(named) or docker_answers()


@pytest.fixture(scope="session")
def kubeconfig() -> Iterator[Path]:
    """The kubeconfig of an administrator with a token."""
    if given := os.environ.get("LANDO_TEST_KUBECONFIG"):
        yield Path(given)
        return
    programs = os.environ.get("LANDO_TEST_CONTROL_PLANE")
    if not programs and not docker_answers():
        missing("kubernetes", HOW_TO_GET_IT)
    with tempfile.TemporaryDirectory(prefix="lando-kubernetes-") as folder:
        running = _control_plane(Path(programs), Path(folder)) if programs else _k3s(Path(folder))
        with running as file:
            yield file


@contextlib.contextmanager
def _control_plane(programs: Path, folder: Path) -> Iterator[Path]:
    environment = {"LANDO_CLUSTER_APISERVER_ARGS": FORGETFUL, **os.environ}
    command = [str(programs / "control-plane")]
    try:
        up = subprocess.run(
            [*command, "up", folder],
            env=environment,
            stdout=subprocess.PIPE,
            timeout=START_TIMEOUT_S,
            check=True,
            text=True,
        )
        file = Path(up.stdout.strip().splitlines()[-1])
        play = [sys.executable, str(programs / "fake-kubelet.py"), "--kubeconfig", str(file)]
        with (folder / "fake-kubelet.log").open("wb") as log:
            kubelet = start_group(play, stdout=log, stderr=log)
        try:
            yield file
        finally:
            end_group(kubelet)
    finally:
        subprocess.run([*command, "down", folder], timeout=60, check=False, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def _k3s(folder: Path) -> Iterator[Path]:
    run = ["docker", "run", "--rm", "--detach", "--privileged", "--publish", "127.0.0.1::6443", IMAGE, "server"]
    identity = _output([*run, "--disable=traefik,metrics-server", f"--kube-apiserver-arg={FORGETFUL.lstrip('-')}"])
    try:
        kubectl = ["docker", "exec", identity, "kubectl"]
        wait_until(lambda: _works([*kubectl, "get", "--raw", "/readyz"]), START_TIMEOUT_S, what="the start of K3s")
        account = ["-n", "kube-system", "lando-test"]
        _output([*kubectl, "create", "serviceaccount", *account])
        binding = ["create", "clusterrolebinding", "lando-test", "--clusterrole=cluster-admin"]
        _output([*kubectl, *binding, "--serviceaccount=kube-system:lando-test"])
        token = _output([*kubectl, "create", "token", "--duration=24h", *account])
        document = yaml.safe_load(_output([*kubectl, "config", "view", "--raw"]))
        port = _output(["docker", "port", identity, "6443/tcp"]).rpartition(":")[2]
        document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
        document["users"][0]["user"] = {"token": token}
        file = folder / "kubeconfig"
        file.write_text(yaml.safe_dump(document))
        yield file
    finally:
        subprocess.run(["docker", "rm", "--force", identity], capture_output=True, timeout=60, check=False)


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0


def _output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout.strip()
