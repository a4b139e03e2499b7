"""kubectl: the one that ``LANDO_TEST_KUBECTL`` names, or the one in the path."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.services.providing import missing

HOW = "apt-get install kubernetes-client, or name one by LANDO_TEST_KUBECTL"
TIMEOUT_S = 60.0


def find_kubectl() -> str:
    """The program's path; skips the test, or fails it, where there is none."""
    found = os.environ.get("LANDO_TEST_KUBECTL") or shutil.which("kubectl")
    return found or missing("kubectl", HOW)


def find_kustomize() -> str:
    """A kubectl that renders kustomizations of today: from 1.24 on it says which kustomize is in it."""
    program = find_kubectl()
    told = subprocess.run(
        [program, "version", "--client"], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    return program if "Kustomize Version" in told.stdout else missing("kustomize", "kubectl 1.24 or newer")


@dataclass(frozen=True, kw_only=True)
class Kubectl:
    """Runs kubectl as one user in one namespace."""

    program: str
    kubeconfig: Path
    home: Path
    """Where it keeps what it knows of the server."""
    namespace: str
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.home), "NO_COLOR": "1"}

    def _command(self, arguments: tuple[object, ...]) -> list[str]:
        return [self.program, "--namespace", self.namespace, *map(str, arguments)]

    def run(
        self, *arguments: object, document: Any = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end; ``document`` becomes its standard input, as JSON unless it is text."""
        text = document if document is None or isinstance(document, str) else json.dumps(document)
        return subprocess.run(
            self._command(arguments),
            input=text,
            env={**self.environment, **(env or {})},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def __call__(self, *arguments: object, document: Any = None, env: dict[str, str] | None = None) -> str:
        """What a command prints; it must succeed."""
        done = self.run(*arguments, document=document, env=env)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: object) -> Any:
        """What a command prints with ``-o json``."""
        return json.loads(self(*arguments, "-o", "json"))

    def refused(self, *arguments: object, document: Any = None) -> str:
        """What a command complains about; it must fail."""
        done = self.run(*arguments, document=document)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start a command that goes on; ended by :meth:`end_all`."""
        process = subprocess.Popen(
            self._command(arguments), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.started.append(process)
        return process

    def end_all(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate(timeout=TIMEOUT_S)
