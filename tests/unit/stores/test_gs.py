"""``gs://`` through Google's own client, against a server that speaks its API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from google import resumable_media
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from lando.api.results import Results
from lando.errors import NotFound, Rejected, Unavailable
from lando.stores import CHUNK
from lando.stores.checksums import of_file
from lando.stores.gs import GoogleStore, _client
from lando.stores.transfer import files_below, upload
from tests.services.step_surroundings import Answer, Web, web
from tests.services.stores import GS_VARIABLE

__all__ = ["web"]

google: Any = exceptions  # its classes are untyped
resumable: Any = resumable_media


@pytest.mark.parametrize("size", [0, 3, 9 << 20])
def test_a_file_of_any_name_goes_there_and_back(gs: storage.Client, tmp_path: Path, size: int) -> None:
    store = GoogleStore("gs://bucket/results of mine/1-x", gs)
    local = tmp_path / "local"
    local.write_bytes(bytes(size))
    store.put(local, "a b/ü+%.txt")
    entry = store.entry("a b/ü+%.txt")
    assert entry is not None
    assert entry.size == size
    assert [found.path for found in store.list()] == ["a b/ü+%.txt"]
    assert b"".join(store.read("a b/ü+%.txt")) == bytes(size)
    store.delete("a b/ü+%.txt")
    store.delete("a b/ü+%.txt")
    assert store.entry("a b/ü+%.txt") is None


def test_a_missing_bucket_is_named(gs: storage.Client) -> None:
    with pytest.raises(NotFound, match="gs://elsewhere/x"):
        GoogleStore("gs://elsewhere/x", gs).put_bytes(b"x", "a")


def test_many_files_are_sent_side_by_side_and_only_once(gs: storage.Client, tmp_path: Path) -> None:
    store = GoogleStore("gs://bucket/x", gs)
    for number in range(20):
        (tmp_path / f"{number}").write_bytes(b"x" * number)
    (tmp_path / "large").write_bytes(b"x" * (9 * CHUNK))  # by a resumable upload
    files = list(files_below(tmp_path, "results", lambda _path: None))
    moved: list[int] = []
    assert all(saved.sent for saved in upload(store, files, moved.append))
    assert not any(saved.sent for saved in upload(store, files, moved.append))
    assert sum(moved) == 2 * sum(file.size for file in files)
    assert {entry.path: entry.size for entry in store.list()} == {file.path: file.size for file in files}


def test_one_of_many_that_fails_is_told_alone(gs: storage.Client, tmp_path: Path) -> None:
    local = tmp_path / "a"
    local.write_bytes(b"x")
    first, second = GoogleStore("gs://elsewhere/x", gs).put_many([(local, "a"), (local, "b")])
    assert isinstance(first, NotFound)
    assert isinstance(second, NotFound)


def test_the_crc_of_a_large_upload_is_compared_with_what_the_server_has(
    gs: storage.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library tells it; the server here takes everything, so its answer is changed on the way."""
    local = tmp_path / "local"
    local.write_bytes(b"x" * (9 * CHUNK))
    session = gs._http  # type: ignore[attr-defined]
    request = session.request

    def damaging(*args: Any, **options: Any) -> Any:
        answer = request(*args, **options)
        if b'"crc32c"' in (answer.content or b""):
            answer._content = answer.content.replace(b'"crc32c": "', b'"crc32c": "AAAA')
        return answer

    monkeypatch.setattr(session, "request", damaging)
    with pytest.raises(Unavailable, match="damaged on their way"):
        GoogleStore("gs://bucket/x", gs).put(local, "a")


def test_a_piece_that_failed_is_sent_again_alone(
    gs: storage.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "local"
    local.write_bytes(b"a" * (8 * CHUNK) + b"b" * CHUNK)
    session = gs._http  # type: ignore[attr-defined]
    request, ranges = session.request, []

    def failing_once(method: str, url: str, **options: Any) -> Any:
        if part := (options.get("headers") or {}).get("content-range"):
            ranges.append(part)
            if ranges.count(part) == 1 and not part.startswith("bytes 0-"):
                answer = requests.Response()
                answer.status_code = 503
                return answer
        return request(method, url, **options)

    monkeypatch.setattr(session, "request", failing_once)
    store = GoogleStore("gs://bucket/x", gs)
    store.put(local, "a")
    assert [part.partition("-")[0] for part in ranges] == ["bytes 0", "bytes 8388608", "bytes 8388608"]
    assert b"".join(store.read("a")) == local.read_bytes()


def test_what_arrives_damaged_is_not_taken(gs: storage.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    store = GoogleStore("gs://bucket/x", gs)
    store.put_bytes(b"abcdef", "a")
    monkeypatch.setattr(GoogleStore, "_pieces", lambda *_args: iter([b"abc", b"dEf"]))
    with pytest.raises(Unavailable, match="crc32c"):
        list(store.read("a"))


def test_a_crc32c_is_castagnolis(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123456789")
    assert of_file(tmp_path / "a", "crc32c") == "e3069283"


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (google.Forbidden("no"), Rejected),
        (google.ServiceUnavailable("later"), Unavailable),
        (google.TooManyRequests("later"), Unavailable),
        (google.RetryError("tried", cause=None), Unavailable),
        (ConnectionError("broken"), Unavailable),
        (google.NotFound("no bucket"), NotFound),
        (google.BadRequest("odd"), Rejected),
        (resumable.DataCorruption(None, "checksums differ"), Unavailable),
    ],
)
def test_every_error_of_google_has_a_place_in_ours(
    failure: Exception, expected: type[Exception], gs: storage.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_options: Any) -> None:
        raise failure

    monkeypatch.setattr(storage.Bucket, "get_blob", fail)
    with pytest.raises(expected):
        GoogleStore("gs://bucket/x", gs).entry("a")


def test_the_server_reads_results_from_there_with_its_own_credential(gs: storage.Client) -> None:
    _client.cache_clear()
    GoogleStore("gs://bucket/x/1-a", gs).put_bytes(b"abc", "results/a.txt")
    found = Results("gs://bucket/x/1-a")
    assert [(file.path, file.size) for file in found.files()] == [("results/a.txt", 3)]
    assert (found.size("results/a.txt"), b"".join(found.open("results/a.txt"))) == (3, b"abc")
    with pytest.raises(NotFound, match="has no file b"):
        found.size("b")
    with pytest.raises(Unavailable, match="can't be read now"):
        list(Results("pigeon://x").files())
    _client.cache_clear()


def test_a_server_that_stays_away_is_given_up(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lando.stores.gs.RETRY_S", 0.0)
    monkeypatch.setenv(GS_VARIABLE, web.url)
    web.serve(Answer(status=503))
    with storage.Client(project="p", credentials=AnonymousCredentials()) as client:  # type: ignore[no-untyped-call]
        store = GoogleStore("gs://bucket/x", client)
        for work in (lambda: store.entry("a"), lambda: list(store.list()), lambda: list(store.read("a"))):
            with pytest.raises(Unavailable, match="503"):
                work()  # type: ignore[no-untyped-call]
    assert web.requests
