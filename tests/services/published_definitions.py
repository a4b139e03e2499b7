"""k8s-jobs 0.2.0 as it was published, with the old releases that it asks for, and ours with the oldest client that it
takes: as processes beside ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.services import definition_cases
from tests.services.providing import end_group, missing, start_group
from tests.services.published import published_folder

HOW_TO_GET_IT = "make published, or name a folder that holds it as k8s-jobs/ by LANDO_TEST_PUBLISHED"
OLDEST_CLIENT = "kubernetes-31"


class Definitions:
    """Runs cases by the library ``prefix``, with the releases of other packages that are in ``folder``."""

    def __init__(self, prefix: str, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-I", definition_cases.__file__, prefix, str(folder)]
        self._process = start_group(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def call(self, case: str, arguments: list[Any]) -> Any:
        """The outcome of one case."""
        sent, received = self._process.stdin, self._process.stdout
        assert sent is not None
        assert received is not None
        sent.write(json.dumps([case, arguments]) + "\n")
        sent.flush()
        return json.loads(received.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        end_group(self._process)
        self._process.stdout.close()


def folder(name: str) -> Path:
    """Where the releases are; the test is skipped where they are not."""
    found = published_folder() / name
    if not found.is_dir():
        missing("k8s-jobs", HOW_TO_GET_IT)
    return found


@pytest.fixture(scope="session")
def published_definitions() -> Iterator[Definitions]:
    """The published package."""
    peer = Definitions("k8s_jobs", folder("k8s-jobs"))
    yield peer
    peer.close()


@pytest.fixture(scope="session")
def definitions_with_the_oldest_client() -> Iterator[Definitions]:
    """Ours, with the first release of the official client that pyproject.toml allows."""
    peer = Definitions("lando.definitions", folder(OLDEST_CLIENT))
    yield peer
    peer.close()
