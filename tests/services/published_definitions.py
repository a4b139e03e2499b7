"""k8s-jobs 0.2.0 as it was published, with the old releases that it asks for, as a process beside ours."""

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


class PublishedDefinitions:
    """Runs cases by the package's own classes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-I", definition_cases.__file__, str(folder)]
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


def published_definitions_folder() -> Path:
    """Where the package is; the test is skipped where it is not."""
    folder = published_folder() / "k8s-jobs"
    if not (folder / "k8s_jobs").is_dir():
        missing("k8s-jobs", HOW_TO_GET_IT)
    return folder


@pytest.fixture(scope="session")
def published_definitions() -> Iterator[PublishedDefinitions]:
    """The published package."""
    peer = PublishedDefinitions(published_definitions_folder())
    yield peer
    peer.close()
