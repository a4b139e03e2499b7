"""Which container engine is taken, and what cwltool finds on its PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from lando.steps.engines import ENGINES, Engine, find_engine, search_path, works


def program(folder: Path, name: str, script: str = "exit 0") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_engines_are_tried_in_order() -> None:
    assert [engine.name for engine in ENGINES] == ["docker", "podman", "apptainer", "singularity", "udocker"]
    podman = find_engine(lambda engine: engine.name in ("udocker", "podman"))
    assert podman is not None
    assert (podman.name, podman.cwltool_flags) == ("podman", ("--podman",))
    assert find_engine(lambda _engine: False) is None


@pytest.mark.parametrize(("script", "expected"), [("exit 0", True), ("exit 1", False)])
def test_an_engine_works_when_its_probe_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: bool
) -> None:
    program(tmp_path / "bin", "docker", script)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert works(ENGINES[0]) is expected


def test_an_engine_that_is_not_installed_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_engine() is None


def test_an_engine_that_does_not_answer_does_not_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lando.steps.engines.PROBE_TIMEOUT_S", 0.05)
    path = program(tmp_path, "slow", "exec /bin/sleep 60")
    assert not works(Engine(name="slow", cwltool_flags=(), probe=(str(path),)))


def test_a_node_on_the_path_is_left_alone(tmp_path: Path) -> None:
    program(tmp_path / "bin", "node")
    assert search_path(tmp_path, str(tmp_path / "bin")) == str(tmp_path / "bin")


def test_without_node_the_one_of_the_wheel_is_added_last(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    first, last = search_path(tmp_path, str(tmp_path / "bin")).split(os.pathsep)
    assert first == str(tmp_path / "bin")
    assert Path(last, "node").is_file()


def test_apptainer_alone_answers_to_singularity(tmp_path: Path) -> None:
    apptainer = program(tmp_path / "bin", "apptainer")
    program(tmp_path / "bin", "node")
    (tmp_path / "scratch").mkdir()
    folders = search_path(tmp_path / "scratch", str(tmp_path / "bin")).split(os.pathsep)
    assert Path(folders[-1], "singularity").resolve() == apptainer
