"""``lando config check`` tells every finding and exits by whether the daemons would start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

FILE = """\
work_queue: {url: 'memory://here', listen_queue: lando}
cluster_api_settings: {in_cluster: true, namespace: jobs}
bespin_api: {url: 'https://bespin.example.org/api/v2', token: s3cret}
record_output_project_settings: {}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "k8s.config"
    path.write_text(FILE)
    return path


def test_a_good_file_is_fine(lando: Any, file: Path) -> None:
    outcome = lando("config", "check", "--strict", file)
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{file} is fine.\n", "")


def test_an_unknown_key_is_a_warning_or_with_strict_an_error(lando: Any, file: Path) -> None:
    file.write_text(FILE + "log_levle: INFO\n")
    finding = f"{file}:5: log_levle: is not a known key and has no effect; did you mean log_level?\n"
    outcome = lando("config", "check", file)
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{file} can be used.\n", f"warning: {finding}")
    outcome = lando("config", "check", "--strict", file)
    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"error: {finding}")


def test_an_error_exits_2(lando: Any, file: Path) -> None:
    file.write_text(FILE.replace("namespace: jobs", "namespace: TODO"))
    outcome = lando("config", "check", file)
    assert outcome.code == 2
    assert (
        outcome.err == f"error: {file}:2: cluster_api_settings.namespace: still says TODO; put the real value here.\n"
    )
