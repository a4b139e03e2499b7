"""How full the output volume is: by its own file system, or by what lies in it where that is larger."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from lando.steps import program, volume
from lando.steps.volume import Use, VolumeWatch, measure

GIB = 2**30


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(os.urandom(size))


@pytest.fixture
def claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A volume with a claim for a mebibyte on a larger file system."""
    root = tmp_path / "volume"
    root.mkdir()
    monkeypatch.setenv(volume.PATH, str(root))
    monkeypatch.setenv(volume.SIZE, str(2**20))
    return root


def own_file_system(monkeypatch: pytest.MonkeyPatch, *, size: int, free: int) -> None:
    found = SimpleNamespace(f_frsize=4096, f_blocks=size // 4096, f_bfree=free // 4096)
    monkeypatch.setattr(os, "statvfs", lambda _path: found)


def test_a_file_system_of_the_claim_s_own_says_how_full_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_file_system(monkeypatch, size=98 * GIB, free=78 * GIB)
    assert measure(tmp_path, 100 * GIB) == Use(used=20 * GIB, size=98 * GIB)


def test_on_a_larger_file_system_the_files_count_against_the_claim_each_once(claim: Path) -> None:
    write(claim / "results" / "a", 300_000)
    write(claim / "tmpout" / "deep" / "b", 100_000)
    os.link(claim / "results" / "a", claim / "tmpout" / "same")
    (claim / "tmpout" / "elsewhere").symlink_to("/")
    use = measure(claim, 2**20)
    assert 400_000 <= use.used < 500_000
    assert use.size == 2**20


def test_a_nearly_full_volume_is_warned_of_with_what_fills_it_and_what_to_do(claim: Path) -> None:
    write(claim / "tmpout" / "b", 900_000)
    use = volume.of_this_container()
    assert use is not None
    assert use.share > volume.NEARLY_FULL
    assert "most of it in tmpout/" in use.warning()
    assert "volume_size_factor" in use.warning()


def test_no_more_files_are_summed_up_than_the_limit(claim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "MOST_ENTRIES", 3)
    for number in range(9):
        write(claim / str(number), 100_000)
    assert measure(claim, 2**20).used < 500_000


@pytest.mark.parametrize("size", ["", "0", "much"])
def test_without_a_size_nothing_is_said(claim: Path, monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    monkeypatch.setenv(volume.SIZE, size)
    assert volume.of_this_container() is None


def test_a_volume_that_can_not_be_looked_at_fails_no_step(claim: Path) -> None:
    claim.rmdir()
    assert volume.of_this_container() is None


@pytest.mark.parametrize("exit_code", [0, 1])
def test_every_program_tells_the_use_in_its_termination_message(
    claim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int
) -> None:
    monkeypatch.setenv("LANDO_TERMINATION_LOG", str(tmp_path / "message"))
    write(claim / "results" / "a", 50_000)

    def work(_argv: object) -> dict[str, object]:
        if exit_code:
            raise OSError("broken")
        return {}

    assert program.run_program("x", "x", work, []) == exit_code
    told = json.loads((tmp_path / "message").read_text())["volume"]
    assert 50_000 <= told["used"] < 100_000
    assert told["size"] == 2**20


def test_while_the_workflow_runs_its_log_says_when_the_volume_gets_full_and_not_each_time(claim: Path) -> None:
    write(claim / "tmpout" / "b", 900_000)
    lines: list[str] = []
    first, second = threading.Event(), threading.Event()

    def log(line: str) -> None:
        lines.append(line)
        (second if first.is_set() else first).set()

    with VolumeWatch(log, interval_s=0.001):
        assert first.wait(30)
        write(claim / "tmpout" / "c", 200_000)
        assert second.wait(30)
    assert len(set(lines)) == len(lines) >= 2
    assert lines[0].startswith("warning: The output volume is 8")
