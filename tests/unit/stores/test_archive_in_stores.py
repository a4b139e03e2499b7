"""The archive of logs in the stores that sites have: Cloud Storage and S3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import storage
from lando.archive import Archive, Entry, Removal
from lando.archive.files import open_files
from lando.errors import ConfigError, Unavailable


@pytest.fixture(params=["gs", "s3"])
def archive(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Archive:
    client = request.getfixturevalue(request.param)
    if request.param == "gs":
        monkeypatch.setattr(storage, "Client", lambda: client)  # the fixture closes it
    return Archive(f"{request.param}://bucket/lando/logs")


def test_logs_in_a_bucket_are_read_listed_sized_and_removed(archive: Archive) -> None:
    archive.store(7, "stage_data", 1, "main", "first")
    archive.store(7, "stage_data", 1, "main", "again\nü\n", '{"cause": {}}')
    archive.store(71, "stage_data", 1, "main", "another run")

    entry = Entry(step="stage_data", attempt=1, container="main")
    assert archive.entries(7) == [entry]
    assert archive.read(7) == "again\nü\n"
    assert archive.termination(7, entry) == '{"cause": {}}'
    assert archive.sizes().keys() == {7, 71}
    archive.remove(7)
    assert archive.entries(7) == []
    assert archive.read(71) == "another run"


def test_jobs_in_a_bucket_are_kept_until_they_are_old(archive: Archive) -> None:
    kept, others, now = archive.jobs("batch", "ours"), archive.jobs("batch", "others"), datetime.now(UTC)
    for place in (kept, others):
        place.store("one", {"job": 1}, {"pod": {"main": "text"}})

    assert kept.remove(now - timedelta(hours=1)) == Removal()
    assert (kept.document("one"), kept.logs("one")) == ({"job": 1}, {"pod": {"main": "text"}})
    assert kept.remove(now + timedelta(hours=1)) == Removal(files=2)
    assert (kept.document("one"), kept.logs("one")) == (None, None)
    assert others.document("one") == {"job": 1}
    assert kept.remove(now + timedelta(hours=1)) == Removal()


def test_a_file_of_a_bucket_is_removed_only_as_it_was_listed(gs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(storage, "Client", lambda: gs)
    monkeypatch.setattr(storage.Blob, "delete", lambda blob, **how: asked.append((blob.generation, how)))
    files = open_files("gs://bucket/lando")
    files.write("jobs/one", b"old")
    (listed,) = files.listed("jobs")

    listed.remove()  # the server that the tests have does not look at the condition

    ((generation, how),) = asked
    assert generation is not None
    assert how["if_generation_match"] == generation


def test_the_root_of_a_bucket_can_be_an_archive(gs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "Client", lambda: gs)
    archive = Archive("gs://bucket")
    archive.store(7, "stage_data", 1, "main", "first")

    assert archive.read(7) == "first"
    assert [blob.name for blob in gs.list_blobs("bucket")] == ["7/stage_data/1/main.log.gz"]


def test_a_bucket_without_credentials_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: Any) -> Any:
        raise DefaultCredentialsError("none were found")

    monkeypatch.setattr(storage, "Client", without)
    with pytest.raises(ConfigError, match="needs Google credentials: none were found"):
        Archive("gs://bucket/logs")


def test_a_store_that_does_not_know_the_bucket_is_unavailable(gs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "Client", lambda: gs)
    with pytest.raises(Unavailable, match="could not store the log of run 7"):
        Archive("gs://no-such-bucket/logs").store(7, "stage_data", 1, "main", "first")
