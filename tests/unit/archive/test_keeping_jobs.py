"""What is kept of Jobs that are no run's, and for how long."""

from __future__ import annotations

import itertools
import logging
import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lando.archive import Archive, JobArchive, Removal, jobs
from lando.archive.files import open_files
from lando.definitions.served.retention import INTERVAL_S, REST_S, Retention
from lando.errors import Unavailable

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"memory://archive-{uuid.uuid4()}" if request.param == "memory" else tmp_path.as_uri()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files of :func:`local` are."""
    return tmp_path / "jobs/batch/ours"


@pytest.fixture
def local(tmp_path: Path) -> JobArchive:
    """With three Jobs, of which the first and the last were kept two hours ago."""
    archive = Archive(str(tmp_path)).jobs("batch", "ours")
    for name in ("a", "b", "c"):
        archive.store(name, {"job": name}, {})
    for path in (tmp_path / "jobs/batch/ours").iterdir():
        if path.name[0] != "b":
            os.utime(path, ((NOW - 2 * HOUR).timestamp(),) * 2)
    return archive


def test_jobs_are_kept_until_they_are_old_and_only_those_of_one_place_go(url: str) -> None:
    archive = Archive(url)
    ours, others = archive.jobs("batch", "ours"), archive.jobs("batch", "others")
    assert ours.remove(NOW + HOUR) == Removal()  # of a folder that is not there yet
    for place in (ours, others):
        place.store("one", {"job": 1}, {"pod": {"main": "text"}})
    archive.store(7, "stage_data", 1, "main", "a run's")

    assert ours.remove(NOW - HOUR) == Removal()
    assert ours.document("one") == {"job": 1}
    assert ours.remove(NOW + HOUR) == Removal(files=2)
    assert (ours.document("one"), ours.logs("one")) == (None, None)
    assert (others.document("one"), others.logs("one")) == ({"job": 1}, {"pod": {"main": "text"}})
    assert archive.read(7) == "a run's"


def test_names_of_jobs_that_end_like_files_do_not_get_into_each_other_s_way(url: str) -> None:
    archive = Archive(url).jobs("batch", "ours")
    names = ["x", "x.logs", "x.json", "x.logs.gz"]
    for name in names:
        archive.store(name, {"job": name}, {"logs": name})

    assert [archive.document(name) for name in names] == [{"job": name} for name in names]
    assert [archive.logs(name) for name in names] == [{"logs": name} for name in names]


def test_a_file_that_was_written_again_since_it_was_listed_stays(url: str) -> None:
    files = open_files(url)
    files.write("jobs/one", b"old")
    (listed,) = files.listed("jobs")
    files.write("jobs/one", b"new")

    listed.remove()

    assert files.read("jobs/one") == b"new"


def test_a_file_that_another_server_removed_meanwhile_is_as_good_as_removed(url: str) -> None:
    files = open_files(url)
    files.write("jobs/one", b"old")
    (here,) = files.listed("jobs")
    (there,) = files.listed("jobs")

    there.remove()
    here.remove()

    assert files.read("jobs/one") is None


def test_one_file_that_can_t_be_removed_does_not_stop_the_others(
    local: JobArchive, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unlink = Path.unlink

    def refused(path: Path, *arguments: Any, **more: Any) -> None:
        if path.name == "a.json.gz":
            raise PermissionError("not this one")
        unlink(path, *arguments, **more)

    monkeypatch.setattr(Path, "unlink", refused)

    assert local.remove(NOW - HOUR) == Removal(files=3, failed=1)
    assert {path.name for path in folder.iterdir()} == {"a.json.gz", "b.json.gz", "b.logs.gz"}
    assert "could not remove jobs/batch/ours/a.json.gz: not this one" in caplog.text


def test_what_a_write_left_that_was_broken_off_goes_too(local: JobArchive, folder: Path) -> None:
    left = folder / ".abc.part"
    left.write_bytes(b"half")
    os.utime(left, ((NOW - 2 * HOUR).timestamp(),) * 2)

    assert local.remove(NOW - HOUR).files == 5
    assert not left.exists()


def test_a_damaged_file_reads_as_nothing_and_goes_like_any_other(local: JobArchive, folder: Path) -> None:
    (folder / "b.json.gz").write_bytes(b"no gzip")

    assert local.document("b") is None
    assert local.remove(NOW + HOUR) == Removal(files=6)


def test_a_removal_ends_when_it_is_stopped_or_has_taken_long(local: JobArchive) -> None:
    told = iter([False, True])
    assert local.remove(NOW + HOUR, is_stopped=lambda: next(told)) == Removal(files=1, is_whole=False)
    ticks = itertools.count(0.0, jobs.REMOVAL_S * 0.6)
    assert local.remove(NOW + HOUR, clock=lambda: next(ticks)) == Removal(files=1, is_whole=False)


@pytest.mark.parametrize(
    ("kept_s", "pause_s"), [(60, INTERVAL_S[0]), (20 * 3600, 7200), (365 * 24 * 3600, INTERVAL_S[1])]
)
def test_passes_come_more_often_where_less_is_kept(local: JobArchive, kept_s: float, pause_s: float) -> None:
    assert Retention(local, kept_s).remove(NOW) == pytest.approx(pause_s, abs=1)


def test_what_a_pass_had_no_time_for_is_looked_at_soon(
    local: JobArchive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(local, "remove", lambda *_, **__: Removal(files=7, failed=1, is_whole=False))

    assert Retention(local, 3600).remove(NOW) == REST_S
    assert "7 files of Jobs kept longer than 3600 s are removed; 1 could not be" in caplog.text
    # Where none can be removed, to come soon would help nobody.
    monkeypatch.setattr(local, "remove", lambda *_, **__: Removal(failed=9, is_whole=False))
    assert Retention(local, 3600).remove(NOW) == INTERVAL_S[0]


def test_a_store_that_is_away_is_told_and_tried_again(
    local: JobArchive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: Any, **__: Any) -> Removal:
        raise Unavailable("archive", "away")

    monkeypatch.setattr(local, "remove", away)

    assert Retention(local, 3600).remove(NOW) == INTERVAL_S[0]
    assert "What is kept of Jobs can't be looked through: archive" in caplog.text


def test_a_stopped_retention_ends_at_once(local: JobArchive) -> None:
    retention = Retention(local, 3600)
    retention.stop()

    retention.run()
