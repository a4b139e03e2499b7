"""What is sent to a store, how often it is tried, and what is left out."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from lando.errors import Rejected, Unavailable
from lando.stores import CHUNK, Progress, no_progress
from lando.stores.files import FileStore, sha256_of
from lando.stores.transfer import ATTEMPTS, LONGEST_PAUSE_S, LocalFile, files_below, upload, with_retries


def test_every_file_below_a_folder_is_found_in_order(tmp_path: Path) -> None:
    top = tmp_path / "results"
    for name in ("b/2", "a", "b/1"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    found = [(file.path, file.size) for file in files_below(top, "results", lambda _path: None)]
    assert found == [("results/a", 1), ("results/b/1", 3), ("results/b/2", 3)]
    assert [file.path for file in files_below(top / "a", "a", lambda _path: None)] == ["a"]


def test_links_out_of_the_folder_are_told_not_taken(tmp_path: Path) -> None:
    top = tmp_path / "results"
    top.mkdir()
    (tmp_path / "secret").write_text("x")
    (top / "out").symlink_to(tmp_path / "secret")
    (top / "dead").symlink_to(top / "nowhere")
    (top / "file").write_text("x")
    (top / "in").symlink_to("file")
    skipped: list[Path] = []
    assert [file.path for file in files_below(top, "r", skipped.append)] == ["r/file", "r/in"]
    assert sorted(path.name for path in skipped) == ["dead", "out"]


def test_only_what_differs_is_sent(tmp_path: Path) -> None:
    store = FileStore((tmp_path / "store").as_uri())
    local = tmp_path / "a"
    local.write_text("one")
    file = LocalFile(local=local, path="x/a", size=3)
    moved: list[int] = []
    assert upload(store, [file], moved.append)[0].sent
    assert not upload(store, [file], moved.append)[0].sent
    assert sum(moved) == 6
    local.write_text("two")
    [second] = upload(store, [replace(file)])
    assert second.sent
    assert second.sha256 == sha256_of(tmp_path / "store/x/a")


def test_what_arrives_damaged_is_sent_again(tmp_path: Path) -> None:
    class Damaging(FileStore):
        bad = 1

        def put(self, local: Path, path: str, progress: Progress = no_progress) -> None:
            super().put(local, path, progress)
            if self.bad:
                self.bad -= 1
                self.put_bytes(b"two", path)

    local = tmp_path / "a"
    local.write_text("one")
    store = Damaging((tmp_path / "store").as_uri())
    file = LocalFile(local=local, path="a", size=3)
    assert upload(store, [file], sleep=lambda _seconds: None)[0].sent
    assert (tmp_path / "store/a").read_text() == "one"
    store.bad = 99
    local.write_text("ONE")
    with pytest.raises(Unavailable, match="is not what was sent"):
        upload(store, [replace(file)], sleep=lambda _seconds: None)


def test_an_upload_that_was_killed_leaves_nothing_once_it_is_done_again(tmp_path: Path) -> None:
    local = tmp_path / "a"
    local.write_bytes(bytes(3 * CHUNK))
    store = f"FileStore({(tmp_path / 'store').as_uri()!r})"
    killed = f"""
import os, signal, pathlib
from lando.stores.files import FileStore
{store}.put(pathlib.Path({str(local)!r}), "x", lambda _size: os.kill(os.getpid(), signal.SIGKILL))
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False, timeout=30).returncode == -9
    upload(FileStore((tmp_path / "store").as_uri()), [LocalFile(local=local, path="x", size=3 * CHUNK)])
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["x"]


def test_a_store_that_is_away_is_tried_again_with_growing_pauses() -> None:
    slept: list[float] = []
    left = [Unavailable("store", "away")] * 3

    def work() -> str:
        if left:
            raise left.pop()
        return "done"

    assert with_retries(work, slept.append) == "done"
    assert len(slept) == 3
    assert all(0.5 * 0.5 * 2**n <= pause <= 0.5 * 1.5 * 2**n for n, pause in enumerate(slept))


def test_tries_end() -> None:
    slept: list[float] = []

    def work() -> None:
        raise Unavailable("store", "away")

    with pytest.raises(Unavailable):
        with_retries(work, slept.append)
    assert len(slept) == ATTEMPTS - 1
    assert max(slept) <= LONGEST_PAUSE_S * 1.5


def test_a_no_is_not_asked_again() -> None:
    def work() -> None:
        raise Rejected("store", "no", status=403)

    with pytest.raises(Rejected):
        with_retries(work, lambda _pause: pytest.fail("waited"))
