"""Phased runs as processes: ``lando phases run`` or ``jobernetes`` in a folder of their own, with a kubeconfig."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml
from tests.services.kubernetes_api import KubernetesApi

END_S = 90.0
RUN = ("lando", "phases", "run")


def kubeconfig_of(api: KubernetesApi, file: Path) -> Path:
    """A kubeconfig for ``api``, with its token."""
    token = str(api.session.headers["Authorization"]).partition(" ")[2]
    cluster = {"server": api.url, "certificate-authority": str(api.ca_file)}
    context = {"cluster": "test", "user": "test", "namespace": api.namespace}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": context}],
        "current-context": "test",
    }
    file.write_text(yaml.safe_dump(document))
    return file


def put(files: Mapping[str, str], folder: Path) -> None:
    """Write the files of a model."""
    for path, text in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


class PhasedProcess:
    """One run; ends by itself, by :meth:`kill` or at the latest with the test."""

    def __init__(self, folder: Path, kubeconfig: Path, command: tuple[str, ...] = RUN) -> None:
        self._log = (folder / "run.log").open("ab")
        program, *arguments = command
        module = {"lando": "lando", "jobernetes": "lando.jobernetes"}[program]
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=folder,
            env={**os.environ, "KUBECONFIG": str(kubeconfig)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def __enter__(self) -> PhasedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        self._log.close()

    def kill(self) -> None:
        """By SIGKILL."""
        self.process.kill()
        self.process.communicate(timeout=END_S)

    def terminate(self) -> int:
        """By SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """The exit code, as soon as there is one."""
        self.process.communicate(timeout=END_S)
        return self.process.returncode

    @property
    def log(self) -> str:
        """What all runs of this folder have said on stderr so far."""
        return Path(self._log.name).read_text()
