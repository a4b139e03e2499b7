"""``python -m lando.local``: starts, tells where it is, runs a Job, goes on after a restart, stops when told."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.services.kubernetes_api import KubernetesApi
from tests.services.providing import start_group, wait_until


@contextmanager
def running(home: Path) -> Iterator[tuple[KubernetesApi, dict[str, Any]]]:
    command = [sys.executable, "-m", "lando.local", "--home", str(home), "--sandbox", "substitute"]
    process = start_group(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        place = json.loads(process.stdout.readline())
        api = KubernetesApi.from_kubeconfig(Path(place["kubeconfig"]), home, place["namespace"])
        yield api, place
        api.session.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_job_runs_and_its_objects_are_there_after_a_restart(tmp_path: Path) -> None:
    home = tmp_path / "cluster"
    container = {"name": "main", "image": "none", "command": ["echo", "hello"]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    with running(home) as (api, first):
        assert api.create("jobs", {"metadata": {"name": "j"}, "spec": {"template": template}}).code == 201
        wait_until(lambda: api.get("jobs", "j").body["status"].get("succeeded") == 1, 30, what="the Job's success")
        pod = api.list("pods", labelSelector="job-name=j").body["items"][0]["metadata"]["name"]
        assert api.get("pods", pod, "log").body == "hello\n"
    assert {name: (home / name).stat().st_mode & 0o777 for name in ("token", "kubeconfig", "objects.db", "ca.key")} == {
        "token": 0o600,
        "kubeconfig": 0o600,
        "objects.db": 0o600,
        "ca.key": 0o600,
    }
    with running(home) as (api, second):
        assert second == first
        assert api.get("jobs", "j").body["status"]["succeeded"] == 1
        assert api.get("pods", pod, "log").body == "hello\n"


def test_a_second_process_is_told_that_the_folder_is_taken(tmp_path: Path) -> None:
    home = tmp_path / "cluster"
    with running(home):
        command = [sys.executable, "-m", "lando.local", "--home", str(home)]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert refused.returncode == 2
    assert refused.stderr.strip() == (
        f"another process runs the embedded cluster in {home}; stop it or choose another folder"
    )
